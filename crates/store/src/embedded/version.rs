use std::fmt;
use std::str::FromStr;

/// A version of pgvector: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl Version {
    /// The oldest pgvector that SCV works with. Earlier releases overflow a buffer in parallel HNSW builds
    /// (before 0.8.2) and can corrupt or fail to repair HNSW indexes when rows are deleted (before 0.8.4).
    pub const OLDEST_PGVECTOR: Version = Version(0, 8, 4);

    /// The version that a `vector.control` file installs.
    pub(super) fn from_control_file(text: &str) -> Option<Version> {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim() == "default_version")
            .and_then(|(_, value)| value.trim().trim_matches('\'').parse().ok())
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[major, minor]) => Ok(Version(major, minor, 0)),
            Some(&[major, minor, patch]) => Ok(Version(major, minor, patch)),
            _ => Err(format!("`{text}` is not a version of pgvector")),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!("0.8.10".parse::<Version>().unwrap() > Version::OLDEST_PGVECTOR);
        assert!("0.8.3".parse::<Version>().unwrap() < Version::OLDEST_PGVECTOR);
        assert_eq!("1.0".parse::<Version>().unwrap().to_string(), "1.0.0");
        assert!("0.8.x".parse::<Version>().is_err());
    }

    #[test]
    fn the_version_is_read_from_a_control_file() {
        let text = "comment = 'vector data type'\ndefault_version = '0.8.6'\nmodule_pathname = '$libdir/vector'\n";
        assert_eq!(Version::from_control_file(text), "0.8.6".parse().ok());
        assert_eq!(Version::from_control_file("comment = 'no version'\n"), None);
    }
}
