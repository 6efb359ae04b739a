//! A cluster of processes in a network of its own, under steady load, while what can happen to it happens: what was
//! acknowledged is there, once, on every node; nobody who follows the log misses a record or goes back; and writes
//! go on soon after a majority is back. Namespaces need root, so `ci/e2e` runs this.

mod address;
mod check;
mod cluster;
mod crashes;
mod damage;
mod leaders;
mod load;
mod memory;
mod network;
mod partitions;
mod pause;
mod producers;
mod restarts;
mod tail;
mod trial;
mod wipe;
