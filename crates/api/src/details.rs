//! The error details of google.rpc, as far as we send and read them. Written by hand: `tonic-types`
//! does not exist in the simulation.

use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;

/// google.rpc.Status
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// google.protobuf.Any
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// google.rpc.ErrorInfo: the facts, for machines.
#[derive(Clone, PartialEq, Message)]
pub struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub metadata: BTreeMap<String, String>,
}

/// google.rpc.LocalizedMessage: the facts, for people. The book's client prints it.
#[derive(Clone, PartialEq, Message)]
pub struct LocalizedMessage {
    #[prost(string, tag = "1")]
    pub locale: String,
    #[prost(string, tag = "2")]
    pub message: String,
}

/// google.rpc.RetryInfo
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<ProtoDuration>,
}

/// google.protobuf.Duration
#[derive(Clone, PartialEq, Message)]
pub struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<Duration> for ProtoDuration {
    fn from(duration: Duration) -> Self {
        ProtoDuration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
    }
}

/// A message that travels in a `google.protobuf.Any`.
pub trait Detail: Message + Default {
    const TYPE_URL: &'static str;

    fn pack(&self) -> Any {
        Any { type_url: Self::TYPE_URL.to_owned(), value: self.encode_to_vec().into() }
    }

    fn find(details: &[Any]) -> Option<Self> {
        let any = details.iter().find(|any| any.type_url == Self::TYPE_URL)?;
        Self::decode(any.value.clone()).ok()
    }
}

impl Detail for ErrorInfo {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.ErrorInfo";
}

impl Detail for LocalizedMessage {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.LocalizedMessage";
}

impl Detail for RetryInfo {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.RetryInfo";
}
