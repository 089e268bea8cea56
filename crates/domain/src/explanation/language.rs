//! The languages that explanations can be written in.

use std::fmt;
use std::str::FromStr;

/// Longest part of an unknown language that an error repeats, in characters.
const MAX_SHOWN: usize = 64;

/// Each language by its code, its English name and its own name. The list is closed, so that nobody can have the same explanation
/// written without end in languages that do not exist.
const LANGUAGES: [[&str; 3]; 62] = [
    ["af", "Afrikaans", "Afrikaans"],
    ["ar", "Arabic", "العربية"],
    ["az", "Azerbaijani", "Azərbaycan"],
    ["be", "Belarusian", "Беларуская"],
    ["bg", "Bulgarian", "Български"],
    ["bn", "Bengali", "বাংলা"],
    ["bs", "Bosnian", "Bosanski"],
    ["ca", "Catalan", "Català"],
    ["cs", "Czech", "Čeština"],
    ["cy", "Welsh", "Cymraeg"],
    ["da", "Danish", "Dansk"],
    ["de", "German", "Deutsch"],
    ["el", "Greek", "Ελληνικά"],
    ["en", "English", "English"],
    ["eo", "Esperanto", "Esperanto"],
    ["es", "Spanish", "Español"],
    ["et", "Estonian", "Eesti"],
    ["eu", "Basque", "Euskara"],
    ["fa", "Persian", "فارسی"],
    ["fi", "Finnish", "Suomi"],
    ["fr", "French", "Français"],
    ["ga", "Irish", "Gaeilge"],
    ["gl", "Galician", "Galego"],
    ["gu", "Gujarati", "ગુજરાતી"],
    ["he", "Hebrew", "עברית"],
    ["hi", "Hindi", "हिन्दी"],
    ["hr", "Croatian", "Hrvatski"],
    ["hu", "Hungarian", "Magyar"],
    ["hy", "Armenian", "Հայերեն"],
    ["id", "Indonesian", "Bahasa Indonesia"],
    ["is", "Icelandic", "Íslenska"],
    ["it", "Italian", "Italiano"],
    ["ja", "Japanese", "日本語"],
    ["ka", "Georgian", "ქართული"],
    ["kk", "Kazakh", "Қазақ"],
    ["kn", "Kannada", "ಕನ್ನಡ"],
    ["ko", "Korean", "한국어"],
    ["lt", "Lithuanian", "Lietuvių"],
    ["lv", "Latvian", "Latviešu"],
    ["mk", "Macedonian", "Македонски"],
    ["ml", "Malayalam", "മലയാളം"],
    ["mr", "Marathi", "मराठी"],
    ["ms", "Malay", "Bahasa Melayu"],
    ["nl", "Dutch", "Nederlands"],
    ["no", "Norwegian", "Norsk"],
    ["pl", "Polish", "Polski"],
    ["pt", "Portuguese", "Português"],
    ["ro", "Romanian", "Română"],
    ["ru", "Russian", "Русский"],
    ["sk", "Slovak", "Slovenčina"],
    ["sl", "Slovenian", "Slovenščina"],
    ["sq", "Albanian", "Shqip"],
    ["sr", "Serbian", "Српски"],
    ["sv", "Swedish", "Svenska"],
    ["sw", "Swahili", "Kiswahili"],
    ["ta", "Tamil", "தமிழ்"],
    ["te", "Telugu", "తెలుగు"],
    ["th", "Thai", "ไทย"],
    ["tr", "Turkish", "Türkçe"],
    ["uk", "Ukrainian", "Українська"],
    ["vi", "Vietnamese", "Tiếng Việt"],
    ["zh", "Chinese", "中文"],
];

/// Codes of languages as some regions write them.
const REGIONAL: [&str; 10] = [
    "de-AT", "de-CH", "en-GB", "en-US", "es-MX", "fr-CA", "pt-BR", "pt-PT", "zh-Hans", "zh-Hant",
];

/// The name or code of a human language, such as `English`, `Deutsch` or `pt-BR`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Language(&'static str);

/// The text does not name a known language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown language {0:?}: give the English name, the own name or the code of one of {count} languages, such as German, Deutsch, \
     de or pt-BR",
    count = LANGUAGES.len()
)]
pub struct LanguageError(String);

impl Language {
    /// The language of the rules.
    pub fn english() -> Self {
        Self("English")
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        self.0
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    /// Accepts a name or code in any case, and keeps it as the list writes it.
    fn from_str(text: &str) -> Result<Self, LanguageError> {
        let wanted = text.trim().to_lowercase();
        let mut known = LANGUAGES.into_iter().flatten().chain(REGIONAL);
        let found = known.find(|name| name.to_lowercase() == wanted);
        found
            .map(Self)
            .ok_or_else(|| LanguageError(text.chars().take(MAX_SHOWN).collect()))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
