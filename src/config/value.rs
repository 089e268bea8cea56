//! Parsers of values. Each error says what is accepted. The command line adds which option, variable or key has the value.

use std::net::SocketAddr;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::str::FromStr;

use scv_compute::device::DeviceChoice;

/// The greatest whole number of the API's type `Int`.
pub const MAX_INT: u64 = i32::MAX as u64;

/// Whole numbers from 0 that the API's type `Int` can represent.
pub const INT: RangeInclusive<u64> = 0..=MAX_INT;

/// Units of sizes, with their bytes.
const UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A parser of whole numbers in a range.
pub fn whole<T>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64> + 'static,
{
    move |text: &str| {
        let number = text.parse::<u64>().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| {
            let (start, end) = (range.start(), range.end());
            if *end == u64::MAX {
                format!("expected a whole number, {start} or more")
            } else {
                format!("expected a whole number from {start} to {end}")
            }
        })
    }
}

/// A parser of finite numbers in a range.
pub fn number<T>(
    range: impl RangeBounds<f64> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + Into<f64> + Copy + 'static,
{
    move |text: &str| {
        let is_accepted = |number: &T| {
            let number: f64 = (*number).into();
            number.is_finite() && range.contains(&number)
        };
        let number = text.parse::<T>().ok().filter(is_accepted);
        number.ok_or_else(|| format!("expected a number{}", in_words(&range)))
    }
}

/// A range with a space before it, such as ` from 0 to 1`; empty if it has no limits.
fn in_words(range: &impl RangeBounds<f64>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(start), Bound::Included(end)) => format!(" from {start} to {end}"),
        (Bound::Included(start), Bound::Excluded(end)) => format!(" from {start} to less than {end}"),
        (Bound::Included(start), Bound::Unbounded) => format!(" of {start} or more"),
        (Bound::Excluded(start), Bound::Included(end)) => format!(" above {start} and at most {end}"),
        (Bound::Excluded(start), Bound::Excluded(end)) => format!(" above {start} and less than {end}"),
        (Bound::Excluded(start), Bound::Unbounded) => format!(" above {start}"),
        (Bound::Unbounded, Bound::Included(end)) => format!(" up to {end}"),
        (Bound::Unbounded, Bound::Excluded(end)) => format!(" less than {end}"),
        (Bound::Unbounded, Bound::Unbounded) => String::new(),
    }
}

/// A number of bytes, such as `4096`, `64KiB` or `128 MiB`.
///
/// # Errors
/// It is something else, or too large.
pub fn bytes<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let bytes = size(text.trim()).and_then(|bytes| T::try_from(bytes).ok());
    bytes.ok_or_else(|| {
        let units = UNITS.map(|(name, _)| name).join(", ");
        format!("expected a number of bytes, or a number with a unit ({units}), such as 65536, 64KiB or 1GiB")
    })
}

fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim_start() {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// An address to listen on. Names other than `localhost` are not looked up.
///
/// # Errors
/// It is not an IP address with a port.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric
        .parse()
        .map_err(|_| "expected HOST:PORT with an IP address or localhost, such as 127.0.0.1:8000".to_owned())
}

/// The name of a host.
///
/// # Errors
/// It has a scheme, a port or a path, or is empty.
pub fn host_name(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.is_empty() || !text.chars().all(is_name) {
        return Err("expected a host name without scheme and port, such as scv.lan".to_owned());
    }
    Ok(text.to_owned())
}

/// A device to run networks on.
///
/// # Errors
/// The text names no kind of device.
pub fn device(text: &str) -> Result<DeviceChoice, String> {
    text.parse()
        .map_err(|_| "expected auto, cpu, cuda, or cuda:N for the GPU with number N".to_owned())
}

/// A yes or no, in any of the usual spellings.
///
/// # Errors
/// It is neither.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "yes" | "y" | "true" | "t" | "on" | "1" => Ok(true),
        "no" | "n" | "false" | "f" | "off" | "0" => Ok(false),
        _ => Err("expected yes or no, or true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_must_be_in_its_range() {
        let port = whole::<u16>(1..=65_535);
        assert_eq!(port("8000"), Ok(8000));
        for text in ["0", "65536", "-1", "1.5", "ten", ""] {
            let expected = "expected a whole number from 1 to 65535".to_owned();
            assert_eq!(port(text), Err(expected), "{text:?}");
        }
        let count = whole::<usize>(0..=u64::MAX);
        assert_eq!(count("-1"), Err("expected a whole number, 0 or more".to_owned()));
        let narrow = whole::<u32>(0..=u64::MAX);
        assert!(narrow("4294967296").is_err(), "too large for its type");
    }

    #[test]
    fn a_number_must_be_finite_and_in_its_range() {
        let fraction = number::<f64>(0.0..=1.0);
        assert_eq!(fraction("0.9"), Ok(0.9));
        for text in ["90", "-0.1", "NaN", "inf", "high"] {
            let expected = "expected a number from 0 to 1".to_owned();
            assert_eq!(fraction(text), Err(expected), "{text}");
        }
        let momentum = number::<f64>(0.0..1.0);
        assert_eq!(momentum("1"), Err("expected a number from 0 to less than 1".to_owned()));
        let rate = number::<f64>((Bound::Excluded(0.0), Bound::Included(10.0)));
        assert_eq!(rate("0"), Err("expected a number above 0 and at most 10".to_owned()));
        let weight = number::<f64>(0.0..);
        assert_eq!(weight("-1"), Err("expected a number of 0 or more".to_owned()));
        let any = number::<f32>(..);
        assert_eq!(any("-2.5"), Ok(-2.5));
        assert_eq!(any("inf"), Err("expected a number".to_owned()));
    }

    #[test]
    fn a_size_has_an_optional_unit() {
        let sizes = ["65536", "64KiB", "64 kib", "128 MiB", "1GiB", "2TiB", "7 B", "0"];
        let expected = [65_536, 65_536, 65_536, 128 << 20, 1 << 30, 2 << 40, 7, 0];
        assert_eq!(sizes.map(bytes::<u64>), expected.map(Ok::<u64, String>));
    }

    #[test]
    fn a_size_that_is_not_understood_is_refused_with_the_units() {
        for text in [
            "",
            "GiB",
            "1GB",
            "1.5GiB",
            "-1",
            "1 GiB 2",
            "20000000TiB",
            "99999999999999999999",
        ] {
            let error = bytes::<u64>(text).expect_err(text);
            assert!(error.contains("KiB, MiB, GiB, TiB"), "{text}: {error}");
        }
        assert!(bytes::<u16>("64KiB").is_err(), "too large for its type");
    }

    #[test]
    fn an_address_is_an_ip_address_or_localhost_with_a_port() {
        let address = |text| listen_address(text).map(|address| address.to_string());
        assert_eq!(address("0.0.0.0:80").as_deref(), Ok("0.0.0.0:80"));
        assert_eq!(address("localhost:8000").as_deref(), Ok("127.0.0.1:8000"));
        assert_eq!(address("[::1]:8000").as_deref(), Ok("[::1]:8000"));
        for text in ["8000", "127.0.0.1", "localhost", "scv.example.com:80"] {
            let error = address(text).expect_err(text);
            assert!(error.contains("such as 127.0.0.1:8000"), "{text}: {error}");
        }
    }

    #[test]
    fn yes_and_no_have_several_spellings() {
        assert_eq!(
            ["yes", "TRUE", "1", "on"].map(yes_or_no),
            [Ok(true), Ok(true), Ok(true), Ok(true)]
        );
        assert_eq!(["No", "false", "0"].map(yes_or_no), [Ok(false), Ok(false), Ok(false)]);
        assert!(yes_or_no("maybe").is_err());
    }
}
