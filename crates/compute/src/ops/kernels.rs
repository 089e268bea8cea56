//! The two implementations of an operator.

use candle_core::Device;

/// Which implementation of an operator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernels {
    /// Our own operations, for tensors in main memory.
    Cpu,
    /// Compositions of candle's primitives, for any device.
    Portable,
}

impl Kernels {
    /// The faster ones that the device can run.
    pub(crate) fn of(device: &Device) -> Kernels {
        if device.is_cpu() {
            Kernels::Cpu
        } else {
            Kernels::Portable
        }
    }
}
