use crate::config::{Config, StartError};
use crate::counters::{Counters, Counting};
use crate::identity::Identity;
use crate::member::{BadMember, Member};
use crate::members::Members;
use crate::task::{Command, Task};
use seedlog_runtime::udp::Socket;
use seedlog_runtime::{clock, watch};
use std::sync::Arc;
use tokio::sync::mpsc;

/// This node's part in the gossip; ends with its last clone, or by [`Gossip::leave`] or [`Gossip::stop`].
#[derive(Clone)]
pub struct Gossip {
    commands: mpsc::UnboundedSender<Command>,
    members: watch::Receiver<Arc<Members>>,
    me: Member,
    counting: Arc<Counting>,
}

impl Gossip {
    /// From here on this node answers, and asks at the addresses to join. Needs no one to be there.
    pub fn start(socket: Socket, config: Config) -> Result<Gossip, StartError> {
        config.check()?;
        let me = config.me.clone();
        let identity = Identity { incarnation: clock::wall_ms(), leaving: false, member: me.clone() };
        let counting = Arc::new(Counting::default());
        let (commands, to_do) = mpsc::unbounded_channel();
        let (task, members) = Task::new(Arc::new(socket), identity, config, counting.clone());
        seedlog_runtime::spawn(task.run(to_do));
        Ok(Gossip { commands, members, me, counting })
    }

    /// Everyone this node knows of; changes as the members do. The last value stays when gossip has ended.
    pub fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.clone()
    }

    /// Tells everyone, who sees no death in between. As soon as it is known; until then it is 0.
    pub fn set_cluster_id(&self, cluster_id: u128) {
        self.command(Command::SetClusterId(cluster_id));
    }

    /// Whether it would be taken in; tells everyone, who sees no death in between.
    pub fn set_joining(&self, joining: bool) {
        self.command(Command::SetJoining(joining));
    }

    /// Tells everyone, who sees no death in between.
    pub fn set_rpc_addr(&self, rpc_addr: String) -> Result<(), BadMember> {
        Member { rpc_addr: rpc_addr.clone(), ..self.me.clone() }.check()?;
        self.command(Command::SetRpcAddr(rpc_addr));
        Ok(())
    }

    pub fn counters(&self) -> Counters {
        self.counting.read()
    }

    /// Says goodbye, so that the others see this node as having left, and ends. Takes less than a probe
    /// interval; on return the port is free.
    pub async fn leave(&self) {
        self.command(Command::Leave);
        self.ended().await;
    }

    /// Ends without a word: a restart is no farewell. The others find out for themselves, if it lasts. On
    /// return the port is free.
    pub async fn stop(&self) {
        self.command(Command::Stop);
        self.ended().await;
    }

    /// One that has ended takes no commands, and none matters any more.
    fn command(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    async fn ended(&self) {
        let mut members = self.members.clone();
        while members.changed().await.is_ok() {}
    }
}
