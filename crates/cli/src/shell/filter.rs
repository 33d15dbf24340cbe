//! Which events are shown.

/// The most patterns that a filter has.
const MAX_PATTERNS: usize = 64;

/// Which events are shown: those that a pattern names, where `*` stands for anything, and that no
/// pattern with `!` before it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    shown: Vec<String>,
    hidden: Vec<String>,
}

impl Filter {
    /// Shows every event.
    pub(super) fn all() -> Self {
        Self { shown: vec!["*".to_owned()], hidden: Vec::new() }
    }

    /// Shows none.
    pub(super) fn none() -> Self {
        Self { shown: Vec::new(), hidden: Vec::new() }
    }

    /// Reads the words behind `events`: `all`, `none`, or patterns.
    pub(super) fn read(words: &[String]) -> Result<Self, String> {
        match words {
            [word] if word == "all" => return Ok(Self::all()),
            [word] if word == "none" => return Ok(Self::none()),
            words if words.len() > MAX_PATTERNS => {
                return Err(format!("no more than {MAX_PATTERNS} patterns"));
            }
            _ => {}
        }
        let (mut shown, mut hidden) = (Vec::new(), Vec::new());
        for word in words {
            let (pattern, list) = match word.strip_prefix('!') {
                Some(pattern) => (pattern, &mut hidden),
                None => (word.as_str(), &mut shown),
            };
            let is_name = |it: char| it.is_ascii_alphanumeric() || "_-*.".contains(it);
            if pattern.is_empty() || !pattern.chars().all(is_name) {
                return Err(format!(
                    "{word:?} names no events: give all, none, or patterns such as BLOCK_* !RTC_CHANGE"
                ));
            }
            list.push(pattern.to_ascii_uppercase());
        }
        if shown.is_empty() {
            shown.push("*".to_owned());
        }
        Ok(Self { shown, hidden })
    }

    /// Whether an event of this name is shown.
    pub(super) fn shows(&self, name: &str) -> bool {
        let name = name.to_ascii_uppercase();
        let is_in = |list: &[String]| list.iter().any(|pattern| matches(pattern, &name));
        is_in(&self.shown) && !is_in(&self.hidden)
    }

    /// The filter in words.
    pub(super) fn describe(&self) -> String {
        if self.shown.is_empty() {
            return "no events are shown".to_owned();
        }
        let shown = match self.shown.as_slice() {
            [all] if all == "*" => "all events are shown".to_owned(),
            shown => format!("events are shown that are {}", shown.join(" or ")),
        };
        match self.hidden.as_slice() {
            [] => shown,
            hidden => format!("{shown}, but not {}", hidden.join(" or ")),
        }
    }
}

/// Whether a name is as a pattern says.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        Filter::read(&words).unwrap()
    }

    #[test]
    fn patterns_choose_events() {
        for (text, name, shown) in [
            ("all", "STOP", true),
            ("none", "STOP", false),
            ("STOP", "STOP", true),
            ("stop", "STOP", true),
            ("STOP", "STOPPED", false),
            ("BLOCK_*", "BLOCK_JOB_READY", true),
            ("BLOCK_*", "JOB_STATUS_CHANGE", false),
            ("*_JOB_*", "BLOCK_JOB_READY", true),
            ("*JOB*CHANGE", "JOB_STATUS_CHANGE", true),
            ("*A*A", "A", false),
            ("!RTC_CHANGE", "RTC_CHANGE", false),
            ("!RTC_CHANGE", "STOP", true),
            ("BLOCK_* !BLOCK_IO_*", "BLOCK_IO_ERROR", false),
        ] {
            assert_eq!(filter(text).shows(name), shown, "{text} {name}");
        }
    }

    #[test]
    fn a_filter_is_told_in_words() {
        for (text, words) in [
            ("all", "all events are shown"),
            ("none", "no events are shown"),
            ("!rtc_change", "all events are shown, but not RTC_CHANGE"),
            ("block_* job_*", "events are shown that are BLOCK_* or JOB_*"),
        ] {
            assert_eq!(filter(text).describe(), words);
        }
        assert!(Filter::read(&["a b".to_owned()]).is_err());
        assert!(Filter::read(&["!".to_owned()]).is_err());
    }
}
