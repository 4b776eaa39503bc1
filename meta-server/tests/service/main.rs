//! A metadata member as its peers meet it: a real one in a temporary directory, over loopback.

mod cluster;
mod files;
mod member;
mod names;
mod process;
mod sessions;
mod storage;
