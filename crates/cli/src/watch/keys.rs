//! What keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::view::{Mode, Question, Then, View};
use super::work::is_risky;
use crate::shell::offers::word;

/// Rows that a page has, whatever its height: one look is enough to find the place again.
const PAGE: isize = 5;

/// The keys, as the help shows them.
pub(crate) const HELP: &[(&str, &str)] = &[
    ("Up Down PgUp PgDn Home End", "choose a row (also k j g G)"),
    ("Tab, Shift-Tab", "next part of the screen, the one before"),
    ("z", "give this part the whole screen, and back"),
    ("a", "attach an image (Tab completes its path)"),
    ("d", "detach the chosen disk"),
    ("e", "eject the medium of the chosen drive"),
    ("i", "insert a medium into the chosen drive"),
    ("r", "resize the chosen disk"),
    ("t", "throttle the chosen disk"),
    (":", "type any qplug command, such as: recover"),
    ("Ctrl-L", "look at everything anew"),
    ("q, Ctrl-C", "quit"),
];

/// What a key asks for, of what the view cannot do by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    /// Run a command line.
    Run(String),
    /// Complete this line before the cursor.
    Complete(String),
    /// Look at everything, and draw everything.
    Refresh,
    /// Tell the user.
    Say(String),
}

/// Takes in a key.
pub(crate) fn press(view: &mut View, key: KeyEvent) -> Option<Action> {
    match std::mem::replace(&mut view.mode, Mode::Browse) {
        Mode::Browse => browse(view, key),
        // Any key leaves the help, and does nothing else.
        Mode::Help => None,
        Mode::Confirm(question) => confirm(question, key),
        Mode::Prompt(mut prompt) => {
            let action = match key.code {
                KeyCode::Esc => return None,
                KeyCode::Char('c' | 'g') if is_control(key) => return None,
                KeyCode::Enter => return submit(view, &prompt.text()),
                KeyCode::Tab => Some(Action::Complete(prompt.before())),
                code => {
                    edit(view, &mut prompt, code, key);
                    None
                }
            };
            view.mode = Mode::Prompt(prompt);
            action
        }
    }
}

fn is_control(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL)
}

fn browse(view: &mut View, key: KeyEvent) -> Option<Action> {
    match key.code {
        KeyCode::Char('c') if is_control(key) => return quit(view),
        KeyCode::Char('l') if is_control(key) => return Some(Action::Refresh),
        KeyCode::Char(_) if is_control(key) => {}
        KeyCode::Char('q') => return quit(view),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => view.mode = Mode::Help,
        KeyCode::Tab | KeyCode::Right => view.focus_next(false),
        KeyCode::BackTab | KeyCode::Left => view.focus_next(true),
        KeyCode::Up | KeyCode::Char('k') => view.choose(-1),
        KeyCode::Down | KeyCode::Char('j') => view.choose(1),
        KeyCode::PageUp => view.choose(-PAGE),
        KeyCode::PageDown => view.choose(PAGE),
        KeyCode::Home | KeyCode::Char('g') => view.choose(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => view.choose(isize::MAX),
        KeyCode::Char('z') => view.is_zoomed = !view.is_zoomed,
        KeyCode::Esc => view.is_zoomed = false,
        KeyCode::Char(':') => view.mode = Mode::Prompt(Default::default()),
        KeyCode::Char('a') => prompt(view, "attach ".to_owned()),
        KeyCode::Char('d') | KeyCode::Delete => return of_disk(view, "detach", detach),
        KeyCode::Char('e') => return of_disk(view, "eject", eject),
        KeyCode::Char('i') => {
            return of_disk(view, "insert a medium into", |view, disk| {
                prompt(view, format!("insert {disk} "));
            });
        }
        KeyCode::Char('r') => {
            return of_disk(view, "resize", |view, disk| prompt(view, format!("resize {disk} ")));
        }
        KeyCode::Char('t') => {
            return of_disk(view, "throttle", |view, disk| {
                prompt(view, format!("throttle {disk} "));
            });
        }
        _ => {}
    }
    None
}

fn prompt(view: &mut View, text: String) {
    view.mode = Mode::Prompt(super::prompt::Prompt::with(&text));
}

/// Does something with the chosen disk, by its name as a word.
fn of_disk(view: &mut View, what: &str, then: impl FnOnce(&mut View, String)) -> Option<Action> {
    let Some(disk) = view.disk().map(|disk| word(&disk.name)) else {
        return Some(Action::Say(format!("there is no disk to {what}")));
    };
    then(view, disk);
    None
}

fn detach(view: &mut View, disk: String) {
    let text = format!("detach {disk}? What the guest has not written to it yet is lost");
    view.mode = ask(text, format!("detach {disk}"));
}

fn eject(view: &mut View, disk: String) {
    view.mode = ask(format!("eject the medium of {disk}?"), format!("eject {disk}"));
}

fn ask(text: String, line: String) -> Mode {
    Mode::Confirm(Question { text, then: Then::Run(line) })
}

/// Leaves, or asks first when something is under way.
fn quit(view: &mut View) -> Option<Action> {
    let Some(work) = view.works.last() else { return Some(Action::Quit) };
    let text = match view.works.len() {
        1 => format!("'{}' is not done yet. Quit all the same?", work.line),
        count => format!("{count} commands are not done yet. Quit all the same?"),
    };
    view.mode = Mode::Confirm(Question { text, then: Then::Quit });
    None
}

fn confirm(question: Question, key: KeyEvent) -> Option<Action> {
    let insists = question.then == Then::Quit
        && (key.code == KeyCode::Char('q') || key.code == KeyCode::Char('c') && is_control(key));
    match (key.code, question.then) {
        (KeyCode::Char('y' | 'Y'), Then::Run(line)) => Some(Action::Run(line)),
        (KeyCode::Char('y' | 'Y'), Then::Quit) => Some(Action::Quit),
        _ if insists => Some(Action::Quit),
        _ => None,
    }
}

fn submit(view: &mut View, line: &str) -> Option<Action> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    view.history.add(line);
    if is_risky(line) {
        view.mode = ask(format!("{line}: data may be lost. Sure?"), line.to_owned());
        return None;
    }
    Some(Action::Run(line.to_owned()))
}

fn edit(view: &View, prompt: &mut super::prompt::Prompt, code: KeyCode, key: KeyEvent) {
    match code {
        KeyCode::Char(letter) if is_control(key) => match letter {
            'a' => prompt.home(),
            'e' => prompt.end(),
            'u' => prompt.erase_all_before(),
            'w' => prompt.erase_word(),
            'd' => prompt.delete(),
            'h' => prompt.erase(1),
            'p' => prompt.recall(&view.history, true),
            'n' => prompt.recall(&view.history, false),
            _ => {}
        },
        KeyCode::Char(character) => prompt.insert(&character.to_string()),
        KeyCode::Backspace => prompt.erase(1),
        KeyCode::Delete => prompt.delete(),
        KeyCode::Left => prompt.left(),
        KeyCode::Right => prompt.right(),
        KeyCode::Home => prompt.home(),
        KeyCode::End => prompt.end(),
        KeyCode::Up => prompt.recall(&view.history, true),
        KeyCode::Down => prompt.recall(&view.history, false),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::draw::tests::machine;
    use crate::watch::view::Pane;
    use crate::watch::work::{Work, read};

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn control(letter: char) -> KeyEvent {
        KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)
    }

    fn types(view: &mut View, text: &str) -> Vec<Action> {
        text.chars().filter_map(|letter| press(view, key(KeyCode::Char(letter)))).collect()
    }

    fn busy(view: &mut View) {
        let args = read("detach disk0").unwrap();
        view.works.push(Work::new(1, "detach disk0", &args.command));
    }

    #[test]
    fn a_detach_is_asked_about_and_done_for_a_yes_only() {
        let mut view = machine(2);
        assert_eq!(types(&mut view, "jdn"), []);
        assert_eq!(view.mode, Mode::Browse);
        assert_eq!(types(&mut view, "dy"), [Action::Run("detach disk1".to_owned())]);
        assert_eq!(types(&mut view, "ey"), [Action::Run("eject disk1".to_owned())]);
    }

    #[test]
    fn what_needs_a_disk_says_so_where_there_is_none() {
        let mut view = machine(0);
        for letter in "deirt".chars() {
            let said = types(&mut view, &letter.to_string());
            assert!(matches!(&said[..], [Action::Say(text)] if text.contains("no disk")));
            assert_eq!(view.mode, Mode::Browse);
        }
    }

    #[test]
    fn a_line_is_typed_corrected_and_run() {
        let mut view = machine(1);
        assert_eq!(types(&mut view, "a/x.imgg"), []);
        press(&mut view, key(KeyCode::Backspace));
        let tab = press(&mut view, key(KeyCode::Tab));
        assert_eq!(tab, Some(Action::Complete("attach /x.img".to_owned())));
        let ran = press(&mut view, key(KeyCode::Enter));
        assert_eq!(ran, Some(Action::Run("attach /x.img".to_owned())));
        assert_eq!(view.mode, Mode::Browse);
        types(&mut view, ":");
        press(&mut view, key(KeyCode::Up));
        assert!(matches!(&view.mode, Mode::Prompt(prompt) if prompt.text() == "attach /x.img"));
        assert_eq!(press(&mut view, control('c')), None);
        assert_eq!(view.mode, Mode::Browse);
    }

    #[test]
    fn a_line_that_may_lose_data_is_asked_about() {
        let mut view = machine(1);
        types(&mut view, "r1M --shrink");
        assert_eq!(press(&mut view, key(KeyCode::Enter)), None);
        assert!(matches!(&view.mode, Mode::Confirm(_)));
        let ran = types(&mut view, "y");
        assert_eq!(ran, [Action::Run("resize disk0 1M --shrink".to_owned())]);
    }

    #[test]
    fn quitting_asks_while_something_is_under_way_and_insisting_is_a_yes() {
        let mut view = machine(1);
        assert_eq!(press(&mut view, control('c')), Some(Action::Quit));
        busy(&mut view);
        for (answer, expected) in [
            (key(KeyCode::Char('n')), None),
            (key(KeyCode::Esc), None),
            (key(KeyCode::Char('y')), Some(Action::Quit)),
            (key(KeyCode::Char('q')), Some(Action::Quit)),
            (control('c'), Some(Action::Quit)),
        ] {
            assert_eq!(types(&mut view, "q"), []);
            assert_eq!(press(&mut view, answer), expected);
        }
    }

    #[test]
    fn arrows_go_through_the_pane_in_focus() {
        let mut view = machine(9);
        for (code, at) in [
            (KeyCode::Down, 1),
            (KeyCode::PageDown, 6),
            (KeyCode::End, 8),
            (KeyCode::Up, 7),
            (KeyCode::Home, 0),
            (KeyCode::PageUp, 0),
        ] {
            press(&mut view, key(code));
            assert_eq!(view.chosen(Pane::Disks), at, "{code:?}");
        }
        press(&mut view, key(KeyCode::BackTab));
        press(&mut view, key(KeyCode::Up));
        assert_eq!((view.focus, view.chosen(Pane::Log)), (Pane::Log, 1));
    }
}
