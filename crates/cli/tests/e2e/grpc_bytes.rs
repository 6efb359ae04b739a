//! gRPC as any client could write it: messages that are none.

use crate::node::{Node, must};
use bytes::{Buf, BufMut, Bytes};
use seedlog_runtime::rpc::channel;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

/// Sends bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

async fn unary(node: &Node, path: &'static str, message: &'static [u8]) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(channel(&node.rpc).unwrap());
    grpc.ready().await.unwrap();
    let request = Request::new(Bytes::from_static(message));
    grpc.unary(request, PathAndQuery::from_static(path), Raw).await.map(|answer| answer.into_inner())
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_and_the_node_goes_on() {
    let node = Node::start_with(&[]);
    for (path, message) in [
        ("/log.v1.Log/Produce", &b"\xff\xff\xff\xff"[..]),
        ("/log.v1.Log/Produce", b"\x0a\xff\xff\xff\xff\x0f"),
        ("/log.v1.Log/Consume", b"\x08"),
        ("/log.v1.Log/ConsumeStream", b"\x08"),
        ("/log.v1.Log/ProduceStream", b"\x0a\x7fshort"),
    ] {
        let refused = unary(&node, path, message).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}: {refused:?}");
        assert!(refused.message().starts_with("failed to decode Protobuf message: "), "{path}: {refused:?}");
    }
    let unknown = unary(&node, "/log.v1.Log/Nothing", b"").await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
    must(&["produce", "--addr", &node.rpc], b"hi\n");
}
