use futures_util::{Stream, StreamExt};
use prost::Message;
use tonic::Status;

/// The largest message on the wire, either way. In production the generated clients and servers hold
/// to it (`max_decoding_message_size`, `max_encoding_message_size`); in the simulation [`wire`] does.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// What arrives when `message` is sent. The simulation passes messages as they are in memory, so both
/// ends call this on what they send or receive: a message that does not survive its own encoding,
/// or is too large, must fail there as it would in production. In production it does nothing.
///
/// # Errors
/// The status with which production refuses such a message.
#[cfg(not(madsim))]
pub fn wire<M: Message + Default>(message: M) -> Result<M, Status> {
    Ok(message)
}

#[cfg(madsim)]
#[allow(clippy::result_large_err)]
pub fn wire<M: Message + Default>(message: M) -> Result<M, Status> {
    let bytes = message.encode_to_vec();
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Status::out_of_range(format!(
            "Error, decoded message length too large: found {} bytes, the limit is: {MESSAGE_BYTES_MAX} bytes",
            bytes.len()
        )));
    }
    M::decode(bytes::Bytes::from(bytes)).map_err(|error| Status::internal(error.to_string()))
}

/// [`wire`] for each message of a stream.
pub fn wire_stream<M: Message + Default>(
    messages: impl Stream<Item = Result<M, Status>>,
) -> impl Stream<Item = Result<M, Status>> {
    messages.map(|message| message.and_then(wire))
}

#[cfg(all(test, madsim))]
mod tests {
    use super::*;
    use tonic::Code;

    /// A message whose encoding loses what it should keep, as a wrong tag or type would.
    #[derive(Clone, Copy, PartialEq, Debug, Default)]
    struct Forgetful(u64);

    impl Message for Forgetful {
        fn encode_raw(&self, _: &mut impl bytes::BufMut) {}
        fn merge_field(
            &mut self,
            _: u32,
            _: prost::encoding::WireType,
            _: &mut impl bytes::Buf,
            _: prost::encoding::DecodeContext,
        ) -> Result<(), prost::DecodeError> {
            Ok(())
        }
        fn encoded_len(&self) -> usize {
            0
        }
        fn clear(&mut self) {}
    }

    #[test]
    fn a_message_arrives_as_its_encoding_says() {
        assert_eq!(wire("text".to_owned()).unwrap(), "text");
        assert_eq!(wire(Forgetful(7)).unwrap(), Forgetful(0));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        // A tag, and a length of four bytes.
        let largest = "x".repeat(MESSAGE_BYTES_MAX - 5);
        assert!(wire(largest.clone()).is_ok());
        assert_eq!(wire(largest + "x").unwrap_err().code(), Code::OutOfRange);
    }
}
