//! Where the other nodes are. The membership says where each was when it was added; who has heard of a
//! newer address tells it here, and it is dialled from the next call on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Default)]
pub struct Addresses {
    latest: Arc<Mutex<BTreeMap<u64, String>>>,
}

impl Addresses {
    pub fn set(&self, node_id: u64, rpc_addr: &str) {
        let mut latest = self.latest.lock().expect("no holder panics");
        if latest.get(&node_id).is_none_or(|known| known != rpc_addr) {
            latest.insert(node_id, rpc_addr.to_owned());
        }
    }

    /// The latest that was heard of, or else `known`.
    pub fn of(&self, node_id: u64, known: &str) -> String {
        self.latest.lock().expect("no holder panics").get(&node_id).map_or_else(|| known.to_owned(), Clone::clone)
    }

    /// All that were heard of.
    pub fn all(&self) -> BTreeMap<u64, String> {
        self.latest.lock().expect("no holder panics").clone()
    }
}
