//! Nodes that are still of the last release, among others and among clients that are not: what is newer never reaches
//! them, and never comes from them.

use crate::event::Subject;
use crate::released::{Released, known};
use crate::talk::subject;
use crate::world::World;
use prost::Message;
use prost_reflect::MessageDescriptor;
use seedlog_api::raft_v1 as raft;
use seedlog_api::v1 as api;
use seedlog_runtime::sim::{AnyMessage, Call, Versions, set_versions};
use std::net::SocketAddr;
use tonic::Status;

/// From now on the nodes are what `world` says.
pub fn tell_apart(world: &World) {
    set_versions(Mixed { world: world.clone(), last: Released::last() });
}

struct Mixed {
    world: World,
    last: Released,
}

/// Which ends of a call are of the last release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    None,
    One,
    Both,
}

impl Mixed {
    fn ends(&self, call: Call<'_>) -> Ends {
        let world = self.world.lock();
        let is_previous = |address: SocketAddr| match subject(address) {
            Some(Subject::Node(number)) => world.previous.contains(&number),
            _ => false,
        };
        match (is_previous(call.client), is_previous(call.server)) {
            (false, false) => Ends::None,
            (true, true) => Ends::Both,
            _ => Ends::One,
        }
    }

    fn left_out(&self, ends: Ends) {
        if ends == Ends::One {
            self.world.fired("mixed_versions");
        }
    }
}

impl Versions for Mixed {
    fn have(&self, call: Call<'_>) -> bool {
        let ends = self.ends(call);
        let have = ends == Ends::None || self.last.method(call.path).is_some();
        if !have {
            self.left_out(ends);
        }
        have
    }

    fn common(&self, call: Call<'_>, is_answer: bool, message: AnyMessage) -> Result<AnyMessage, Status> {
        let ends = self.ends(call);
        let method = if ends == Ends::None { None } else { self.last.method(call.path) };
        let Some(method) = method else { return Ok(message) };
        let of = if is_answer { method.output() } else { method.input() };
        let (message, is_less) = less(&of, message)?;
        if is_less {
            self.left_out(ends);
        }
        Ok(message)
    }
}

/// The message without what `of` does not have, and whether that is less.
fn less(of: &MessageDescriptor, message: AnyMessage) -> Result<(AnyMessage, bool), Status> {
    macro_rules! one_of {
        ($($package:ident: $($message:ident)*);* $(;)?) => {
            $($(let message = match message.downcast::<$package::$message>() {
                Ok(message) => return less_of(of, *message),
                Err(other) => other,
            };)*)*
            drop(message);
            panic!("a message of a type that is not in the list: a {} of today", of.full_name());
        };
    }
    one_of! {
        api: ProduceRequest ProduceResponse ConsumeRequest ConsumeResponse GetServersRequest GetServersResponse
            TrimRequest TrimResponse SetRetentionRequest SetRetentionResponse FenceRequest FenceResponse
            DescribeRequest DescribeResponse RemoveServerRequest RemoveServerResponse ReplaceServerRequest
            ReplaceServerResponse TransferLeaderRequest TransferLeaderResponse ScrubRequest ScrubResponse;
        raft: AppendRequest AppendResponse VoteRequest VoteResponse PreVoteRequest PreVoteResponse
            InstallSnapshotRequest InstallSnapshotResponse TransferLeaderRequest TransferLeaderResponse
            ReadIndexRequest ReadIndexResponse ForwardRequest ForwardResponse ChangeRequest ChangeResponse
            RoomRequest RoomResponse EntriesRequest EntriesResponse;
    }
}

fn less_of<M: Message + Default + 'static>(of: &MessageDescriptor, message: M) -> Result<(AnyMessage, bool), Status> {
    let bad = |error: prost::DecodeError| Status::internal(error.to_string());
    match known(of, &message.encode_to_vec()).map_err(bad)? {
        None => Ok((Box::new(message), false)),
        Some(left) => Ok((Box::new(M::decode(&left[..]).map_err(bad)?), true)),
    }
}
