//! Nodes, one and several.

mod cluster_in_the_simulation;
mod node_in_the_simulation;
mod node_on_a_real_disk;
