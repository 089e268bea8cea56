//! Computations that the engine runs on its device.

use candle_core::Device;
use tracing::Span;

use super::control::Control;
use super::error::Result;

/// What a task computes with.
#[derive(Debug)]
pub struct DeviceContext {
    /// The device, for tensors.
    pub device: Device,
}

impl DeviceContext {
    /// A context on `device`.
    pub fn new(device: Device) -> Self {
        Self { device }
    }
}

/// One computation, with everything it reads.
pub trait Task: Send + 'static {
    /// What it computes.
    type Output: Send + 'static;

    /// The span of its log lines.
    fn span(&self) -> Span;

    /// Computes the output on the calling thread.
    ///
    /// # Errors
    /// The implementation lists its own. A task that has steps ends with
    /// [`ComputeError::Cancelled`](super::error::ComputeError::Cancelled) once `control` cancels it.
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Self::Output>;
}
