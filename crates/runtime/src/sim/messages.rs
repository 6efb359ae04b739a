use super::world::with;
use std::any::Any;
use std::net::SocketAddr;
use std::rc::Rc;
use tonic::Status;

/// A message of a call, as its server sees it: a request when it arrives, an answer when it leaves.
pub struct Message<'a> {
    /// `/package.Service/Method`.
    pub path: &'a str,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub is_answer: bool,
    /// The generated message.
    pub body: Result<&'a dyn Any, &'a Status>,
}

pub type Observer = Rc<dyn Fn(&Message<'_>)>;

/// From now on each message of this world is shown to `observer`, which must do nothing to the world.
pub fn observe_messages(observer: impl Fn(&Message<'_>) + 'static) {
    with(|world| world.messages = Some(Rc::new(observer)));
}

pub fn message(message: &Message<'_>) {
    // It is free to ask the world something.
    if let Some(observer) = with(|world| world.messages.clone()) {
        observer(message);
    }
}
