//! The device that computes. Only this file knows whether CUDA is compiled in.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use super::error::ComputeError;

/// The device that a user requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU if there is one, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU, even if there is a GPU.
    Cpu,
    /// The GPU with this ordinal, and no other device.
    Cuda(usize),
}

/// A text that is not the name of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a device: use `auto`, `cpu`, `cuda`, or `cuda:N` for the GPU with ordinal N")]
pub struct UnknownDevice(String);

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(0)),
            _ => {}
        }
        text.strip_prefix("cuda:")
            .filter(|ordinal| ordinal.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|ordinal| ordinal.parse().ok())
            .map(Self::Cuda)
            .ok_or_else(|| UnknownDevice(text.to_owned()))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// The memory of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Bytes in use, by all programs.
    pub used_bytes: u64,
    /// Bytes in total.
    pub total_bytes: u64,
}

/// A device ready to compute.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    device: Device,
    description: String,
}

impl OpenDevice {
    /// The device, for tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A description for the log, such as `CPU, 2 threads` or `cuda:0`.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The memory of a GPU, to be called on the thread that computes with it. `None` for the CPU, which has that of the
    /// machine.
    pub(super) fn memory(&self) -> Option<DeviceMemory> {
        memory_of_gpu(&self.device)
    }

    fn cpu() -> Self {
        let threads = candle_core::utils::get_num_threads();
        let plural = if threads == 1 { "" } else { "s" };
        Self {
            device: Device::Cpu,
            description: format!("CPU, {threads} thread{plural}"),
        }
    }

    fn cuda(ordinal: usize) -> Result<Self, String> {
        let device = open_cuda(ordinal)?;
        Ok(Self {
            device,
            description: format!("cuda:{ordinal}"),
        })
    }
}

/// Opens the requested device.
///
/// `auto` falls back to the CPU, with a warning only in a build that could have used a GPU.
///
/// # Errors
/// [`ComputeError::NoDevice`] for a GPU that is not available, with the reason and what to do.
pub fn open(choice: DeviceChoice) -> Result<OpenDevice, ComputeError> {
    match choice {
        DeviceChoice::Cpu => Ok(OpenDevice::cpu()),
        DeviceChoice::Auto if !CUDA_COMPILED_IN => Ok(OpenDevice::cpu()),
        DeviceChoice::Auto => Ok(OpenDevice::cuda(0).unwrap_or_else(|reason| {
            tracing::warn!(%reason, "no GPU is available; computing on the CPU");
            OpenDevice::cpu()
        })),
        DeviceChoice::Cuda(ordinal) => OpenDevice::cuda(ordinal).map_err(|reason| {
            ComputeError::NoDevice(format!(
                "{choice} is not available: {reason}; or choose `auto` or `cpu` to run without a GPU"
            ))
        }),
    }
}

#[cfg(feature = "cuda")]
fn memory_of_gpu(device: &Device) -> Option<DeviceMemory> {
    let stream = device.as_cuda_device().ok()?.cuda_stream();
    let (free, total) = stream.context().mem_get_info().ok()?;
    Some(DeviceMemory {
        used_bytes: total.saturating_sub(free) as u64,
        total_bytes: total as u64,
    })
}

#[cfg(not(feature = "cuda"))]
fn memory_of_gpu(_device: &Device) -> Option<DeviceMemory> {
    None
}

const CUDA_COMPILED_IN: bool = cfg!(feature = "cuda");

#[cfg(not(feature = "cuda"))]
fn open_cuda(_ordinal: usize) -> Result<Device, String> {
    Err("this program was built without CUDA; build it with `just build-cuda`".to_owned())
}

/// The message of a panic, which names the missing library.
#[cfg(feature = "cuda")]
fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    // The rest lists every name that was tried.
    let first = text.and_then(|text| text.lines().next()?.split(" - ").next());
    first.unwrap_or("a CUDA library cannot be loaded")
}

/// If a library is missing, candle panics instead of returning an error. Its errors have a backtrace
/// after their first line.
#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<Device, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::panic::catch_unwind(|| Device::new_cuda(ordinal));
    std::panic::set_hook(hook);
    match opened {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(error.to_string().lines().next().unwrap_or("unknown reason").to_owned()),
        Err(panic) => Err(format!(
            "{}; install the NVIDIA driver, and put CUDA's libcublas and libcurand on the library path",
            panic_message(&*panic)
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_choice_can_be_parsed_from_its_display() {
        for choice in [
            DeviceChoice::Auto,
            DeviceChoice::Cpu,
            DeviceChoice::Cuda(0),
            DeviceChoice::Cuda(7),
        ] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
    }

    #[test]
    fn an_unknown_device_is_refused_with_the_valid_names() {
        for text in [
            "",
            "gpu",
            "CPU",
            "cuda:",
            "cuda:x",
            "cuda:+1",
            "cuda:-1",
            "cuda:99999999999999999999",
        ] {
            let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is not a device")) && error.contains("`cuda:N`"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_description_of_the_cpu_has_its_number_of_threads() {
        let open = open(DeviceChoice::Cpu).unwrap();
        assert!(open.device().is_cpu());
        assert!(open.description().starts_with("CPU, ") && open.description().contains("thread"));
    }

    #[test]
    fn auto_always_finds_a_device() {
        assert!(open(DeviceChoice::Auto).is_ok());
    }

    #[test]
    fn a_missing_gpu_is_an_error_of_one_line_that_says_what_to_do() {
        // No machine has this many GPUs, and most builds have no CUDA.
        let error = open(DeviceChoice::Cuda(4_096)).unwrap_err().to_string();
        assert!(
            error.contains("cuda:4096") && error.contains("choose `auto` or `cpu`"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
