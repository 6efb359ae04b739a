//! Server reflection, in both its versions: tools like grpcurl need no proto files.
//!
//! Not part of the simulation, which has no such service.

use seedlog_runtime::rpc::Services;
use tonic_reflection::server::Builder;

pub fn add_reflection(services: Services) -> Services {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(seedlog_api::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let sound = "the descriptors were compiled with us";
    services.add(builder().build_v1().expect(sound)).add(builder().build_v1alpha().expect(sound))
}
