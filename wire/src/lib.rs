//! Every message of EmberFS, defined once as a plain struct, with its codec, its errors and its versions.
