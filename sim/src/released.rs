//! What the last release knows of a call: `proto/released/last`.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, MethodDescriptor};

const LAST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/last.bin"));

pub struct Released(DescriptorPool);

impl Released {
    /// The last one.
    pub fn last() -> Released {
        Released(DescriptorPool::decode(LAST).expect("what the build wrote"))
    }

    /// The method of `/package.Service/Method`, if it is there.
    pub fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let service = self.0.get_service_by_name(service)?;
        service.methods().find(|known| known.name() == method)
    }
}

/// What is known of an encoded message, at every depth. `None`: all of it is.
///
/// # Errors
/// If it is no message.
pub fn known(message: &MessageDescriptor, bytes: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut kept = Vec::with_capacity(bytes.len());
    Ok(copy(message, bytes, &mut kept)?.then_some(kept))
}

/// Whether something was left out.
fn copy(message: &MessageDescriptor, mut bytes: &[u8], kept: &mut Vec<u8>) -> Result<bool, DecodeError> {
    let mut left_out = false;
    while !bytes.is_empty() {
        let field = bytes;
        let (number, wire) = decode_key(&mut bytes)?;
        let mut rest = bytes;
        skip_field(wire, number, &mut rest, DecodeContext::default())?;
        match message.get_field(number).map(|field| field.kind()) {
            None => left_out = true,
            Some(Kind::Message(inner)) if wire == WireType::LengthDelimited => {
                // As long as what is skipped, which was there.
                decode_varint(&mut bytes)?;
                let mut value = Vec::new();
                left_out |= copy(&inner, &bytes[..bytes.len() - rest.len()], &mut value)?;
                encode_key(number, wire, kept);
                encode_varint(value.len() as u64, kept);
                kept.extend(value);
            }
            Some(_) => kept.extend(&field[..field.len() - rest.len()]),
        }
        bytes = rest;
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use seedlog_api::v1::{ConsumeResponse, Header, Record};

    /// A release from before some fields of what there is today.
    fn older() -> DescriptorPool {
        use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
        let mut files = FileDescriptorSet::decode(seedlog_api::FILE_DESCRIPTOR_SET).unwrap();
        let forget = |file: &mut FileDescriptorProto| {
            for message in &mut file.message_type {
                let of = message.name().to_owned();
                let is_gone = |name: &str| matches!((&*of, name), ("Record", "origins") | ("Header", "value"));
                message.field.retain(|field| !is_gone(field.name()));
            }
        };
        files.file.iter_mut().for_each(forget);
        DescriptorPool::from_file_descriptor_set(files).unwrap()
    }

    #[test]
    fn what_is_not_known_is_left_out_at_every_depth_and_all_else_stays() {
        let consumed = older().get_message_by_name("log.v1.ConsumeResponse").unwrap();
        let header = |value: &'static [u8]| Header { name: "k".into(), value: value.into() };
        let record =
            |headers, origins| Record { value: "v".into(), offset: 300, headers, origins, ..Record::default() };
        let said = |headers: Vec<Header>, origins| ConsumeResponse {
            record: Some(record(headers.clone(), origins)),
            records: vec![record(headers, Vec::new())],
        };
        let whole = said(vec![header(b"w"), header(b"x")], vec![Default::default()]);
        let left = known(&consumed, &whole.encode_to_vec()).unwrap().unwrap();
        assert_eq!(ConsumeResponse::decode(&left[..]).unwrap(), said(vec![header(b""), header(b"")], Vec::new()));
        assert_eq!(known(&consumed, &left), Ok(None));
        assert!(known(&consumed, &whole.encode_to_vec()[..20]).is_err());
    }

    #[test]
    fn the_last_release_is_asked_by_the_paths_of_today() {
        let last = Released::last();
        for path in ["/log.v1.Log/Produce", "/log.v1.AdminService/Describe", "/raft.v1.RaftService/Append"] {
            assert!(last.method(path).is_some(), "{path}");
        }
        assert!(last.method("/log.v1.Log/Sing").is_none() && last.method("Produce").is_none());
    }
}
