//! Names of things as offers.

use super::candidate::Offer;
use super::world::{Kind, Name, World};

/// What a value may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::shell) struct Values {
    pub(super) offers: Vec<Offer>,
    /// How many are left out.
    pub(super) left_out: usize,
    /// From which byte of what is typed the offers are for: a path is completed from its last `/`.
    pub(super) from: usize,
}

impl From<Vec<Offer>> for Values {
    fn from(offers: Vec<Offer>) -> Self {
        Self { offers, ..Self::default() }
    }
}

/// The names of a kind, of which `text` is typed.
pub(super) fn of(kind: &Kind, text: &str, world: &dyn World) -> Values {
    match kind {
        Kind::Files(_) => files(Kind::Files, text, world),
        Kind::MachineFiles(_) => files(Kind::MachineFiles, text, world),
        Kind::QomChildren(_) => below(text, world),
        Kind::Tree(_) if !text.contains('/') => root(),
        Kind::Tree(_) => files(Kind::Tree, text, world),
        kind => {
            let names = world.names(kind);
            let offers = names.names.iter().map(offer).collect();
            Values { offers, left_out: names.left_out, from: 0 }
        }
    }
}

fn offer(name: &Name) -> Offer {
    Offer::new(name.text.as_str(), name.note.as_str())
}

/// A name that more may follow, with a `/` between.
fn part(name: &Name) -> Offer {
    if name.text.ends_with('/') { offer(name).and_more() } else { offer(name) }
}

/// Files. Those whose names begin with a dot are for who types it.
fn files(of_folder: fn(String) -> Kind, text: &str, world: &dyn World) -> Values {
    let from = text.rfind('/').map_or(0, |at| at + 1);
    let names = world.names(&of_folder(text[..from].to_owned()));
    let shows_hidden = text[from..].starts_with('.');
    let shown = names.names.iter().filter(|name| shows_hidden || !name.text.starts_with('.'));
    Values { offers: shown.map(part).collect(), left_out: names.left_out, from }
}

/// Where every path begins.
fn root() -> Values {
    Values::from(vec![Offer::new("/", "").and_more()])
}

/// What is below a path in QOM, or the first part of one.
fn below(text: &str, world: &dyn World) -> Values {
    let Some(last) = text.rfind('/') else { return root() };
    let parent = if last == 0 { "/" } else { &text[..last] };
    let names = world.names(&Kind::QomChildren(parent.to_owned()));
    let offers = names.names.iter().map(part).collect();
    Values { offers, left_out: names.left_out, from: last + 1 }
}
