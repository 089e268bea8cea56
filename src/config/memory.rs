//! How the memory of a server is divided.

use super::Config;

/// The least memory that a server can work with, in bytes.
pub(super) const MIN_MEMORY: u64 = 1 << 30;

/// Bytes of the program itself, with the threads and connections of a server, and of its small caches.
const PROGRAM_BYTES: u64 = 192 << 20;

/// The memory of a server, in bytes. Caches are bounded by themselves. Of the rest, one half is for the activations of one
/// computation, because the device does one thing at a time. The other half is for all else that requests and jobs hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Memory {
    pub(super) answer_cache: u64,
    pub(super) search_cache: u64,
    pub(super) sketch_cache: u64,
    pub(super) vector_cache: u64,
    pub(super) network_cache: u64,
    pub(super) probe_cache: u64,
    pub(super) split_cache: u64,
    pub(super) explanation_cache: u64,
    pub(super) activations: u64,
    pub(super) work: u64,
}

impl Memory {
    /// Divides the memory of a server.
    ///
    /// # Errors
    /// There is too little of it, or its caches take too much.
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        let memory = config.memory;
        if memory < MIN_MEMORY {
            return Err(format!(
                "--memory is {} MiB; a server needs at least {} MiB",
                memory >> 20,
                MIN_MEMORY >> 20
            ));
        }
        let divided = Self {
            answer_cache: config.answer_cache_bytes.unwrap_or((128 << 20).min(memory / 32)),
            search_cache: config.search_cache_bytes.unwrap_or((64 << 20).min(memory / 32)),
            sketch_cache: config.sketch_cache_bytes.unwrap_or(memory / 8),
            vector_cache: config.vector_cache_bytes.unwrap_or(memory / 16),
            network_cache: config.network_cache_bytes.unwrap_or((1 << 30).min(memory / 8)),
            probe_cache: config.probe_cache_bytes.unwrap_or((64 << 20).min(memory / 32)),
            split_cache: config.split_cache_bytes.unwrap_or((256 << 20).min(memory / 16)),
            explanation_cache: config.explanation_cache_bytes,
            activations: 0,
            work: 0,
        };
        let caches = divided.caches();
        let sum = caches
            .iter()
            .fold(PROGRAM_BYTES, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let rest = memory.saturating_sub(sum);
        // The defaults leave two fifths or more.
        if rest < memory / 5 {
            let (option, bytes) = caches.into_iter().max_by_key(|(_, bytes)| *bytes).unwrap_or_default();
            return Err(format!(
                "the caches leave {} MiB of --memory, {} MiB, for everything else: choose less for {option}, {} MiB, or more \
                 memory",
                rest >> 20,
                memory >> 20,
                bytes >> 20
            ));
        }
        Ok(Self {
            activations: rest / 2,
            work: rest / 2,
            ..divided
        })
    }

    fn caches(&self) -> [(&'static str, u64); 8] {
        [
            ("--answer-cache-bytes", self.answer_cache),
            ("--search-cache-bytes", self.search_cache),
            ("--sketch-cache-bytes", self.sketch_cache),
            ("--vector-cache-bytes", self.vector_cache),
            ("--network-cache-bytes", self.network_cache),
            ("--probe-cache-bytes", self.probe_cache),
            ("--split-cache-bytes", self.split_cache),
            ("--explanation-cache-bytes", self.explanation_cache),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn memory(bytes: u64, change: impl FnOnce(&mut Config)) -> Result<Memory, String> {
        let mut config = Config::defaults();
        config.memory = bytes;
        change(&mut config);
        Memory::of(&config)
    }

    #[test]
    fn the_parts_of_a_server_take_its_memory_together_on_any_machine() {
        for bytes in [MIN_MEMORY, 2 << 30, 6 << 30, 18 << 30, 700 << 30] {
            let parts = memory(bytes, |_| {}).unwrap();
            let caches: u64 = parts.caches().iter().map(|(_, bytes)| bytes).sum();
            let sum = caches + parts.activations + parts.work + PROGRAM_BYTES;
            assert!(sum <= bytes && bytes - sum < 2, "{sum} of {bytes}");
        }
    }

    #[test]
    fn caches_that_leave_nothing_are_refused_by_the_largest_option() {
        let error = memory(2 << 30, |config| config.answer_cache_bytes = Some(3 << 30)).unwrap_err();
        assert_eq!(
            error,
            "the caches leave 0 MiB of --memory, 2048 MiB, for everything else: choose less for --answer-cache-bytes, 3072 MiB, \
             or more memory"
        );
        let error = memory(100 << 20, |_| {}).unwrap_err();
        assert_eq!(error, "--memory is 100 MiB; a server needs at least 1024 MiB");
    }
}
