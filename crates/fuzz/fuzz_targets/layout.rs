#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seedlog_log::fuzzing::layout(bytes);
});
