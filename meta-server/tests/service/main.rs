//! A metadata member as its peers meet it, and a group of three: real ones in temporary directories, over loopback.

mod cable;
mod cluster;
mod files;
mod finder;
mod group;
mod killed;
mod lagging;
mod member;
mod names;
mod process;
mod sessions;
mod storage;
mod trio;
