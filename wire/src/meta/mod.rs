//! What clients ask of the metadata leader: names, attributes, sessions.
//!
//! A request that changes something is a [`Mutation`] in a [`Mutate`], a request that changes nothing a
//! [`Query`] in an [`Ask`]. Both name where they apply by a [`Place`]: an inode that the client knows and a
//! path from there, which the server walks. So a mount names an inode alone, the library a whole path,
//! and each takes one request.
//!
//! * [`inode`]: what an inode says of itself. [`name`]: checked names and paths. [`layout`]: changes of what a
//!   directory says of new files.
//! * [`mutation`], [`query`]: the two closed sets of operations and their answers.
//! * [`session`]: what makes a client known, and its retries harmless.

pub mod inode;
pub mod layout;
pub mod mutation;
pub mod name;
pub mod query;
pub mod session;

pub use inode::{Attributes, Caller, Device, InodeKind, Mode, Time};
pub use layout::{LayoutChange, Setting};
pub use mutation::{
    AttributeChange, Mutate, Mutation, MutationReply, NewNode, RemoveKind, RenameFlags, SetTime,
    WrittenRange,
};
pub use name::{Name, NameError, Path, Place, SymlinkTarget};
pub use query::{Access, Ask, Cursor, Entry, Query, QueryReply, Space};
pub use session::{
    AskHeld, AskHeldReply, EndSession, HandleId, OpenChain, OpenSession, OpenSessionReply,
    RenewSession, RenewSessionReply, Slot,
};
