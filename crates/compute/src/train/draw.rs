//! Random numbers of a training: each purpose has its own stream of the seed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for.
#[derive(Clone, Copy)]
pub(super) enum Draw {
    Order = 1,
    Dropout = 2,
    Validation = 3,
}

/// The generator of a purpose; `number` tells those of one purpose apart.
pub(super) fn generator(seed: u64, draw: Draw, number: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream((draw as u64) << 32 | u64::from(number));
    generator
}
