#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seedlog_raft::fuzzing::small_files(bytes);
});
