#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seedlog_server::http::fuzzing::http(bytes);
});
