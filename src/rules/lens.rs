//! Rules about transactions, by the buffer through which the prefilter finds them.

use super::app::AppProto;
use super::keyword::buffers::Buffer;
use super::literal::Literal;
use super::plan::{Rule, Toward, Transform};
use super::prefilter::{Length, Prefilter};

/// One way of looking at a buffer, and what is looked for in it.
#[derive(Debug)]
pub struct Lens {
    pub buffer: Buffer,
    pub toward: Toward,
    /// Done to the buffer before the literals are looked for.
    pub transforms: Box<[Transform]>,
    pub prefilter: Prefilter,
}

/// What concerns the transactions of one protocol, seen from one side.
#[derive(Debug, Default)]
pub struct AppGroup {
    /// Numbers of lenses, ascending.
    pub lenses: Box<[u16]>,
    /// Rules that no literal leads to, ascending.
    pub always: Box<[u32]>,
}

/// All lenses of a rule set.
#[derive(Debug, Default)]
pub struct Lenses {
    lenses: Box<[Lens]>,
    groups: Box<[AppGroup]>,
    empty: AppGroup,
}

const WAYS: [Toward; 2] = [Toward::Server, Toward::Client];

/// A lens that is being filled.
struct Filling<'r> {
    key: String,
    literal: &'r Literal,
    toward: Toward,
    entries: Vec<(Vec<u8>, u32)>,
}

impl Lenses {
    /// `literals` holds each rule's choice for the prefilter.
    #[must_use]
    pub fn new(rules: &[Rule], literals: &[Option<Literal>]) -> Lenses {
        let mut filling: Vec<Filling<'_>> = Vec::new();
        let mut always = Vec::new();
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.on_transactions) {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            let ways = WAYS.into_iter().filter(|way| rule.flow.toward.is_none_or(|wanted| wanted == *way));
            for toward in ways {
                match literals.get(at).and_then(Option::as_ref) {
                    Some(literal) => file(&mut filling, literal, toward, number),
                    None => always.push((number, toward)),
                }
            }
        }
        let mut lenses = Vec::with_capacity(filling.len());
        for lens in filling {
            let length = if lens.literal.buffer.info().growing { Length::Long } else { Length::Short };
            let (prefilter, refused) = Prefilter::build(&lens.entries, length);
            always.extend(refused.into_iter().map(|number| (number, lens.toward)));
            let Literal { buffer, ref transforms, .. } = *lens.literal;
            lenses.push(Lens { buffer, toward: lens.toward, transforms: transforms.clone(), prefilter });
        }
        always.sort_unstable_by_key(|(number, _)| *number);
        always.dedup();
        let groups = AppProto::ALL.into_iter().flat_map(|protocol| WAYS.map(|toward| (protocol, toward)));
        let groups = groups.map(|(protocol, toward)| group(rules, &lenses, &always, protocol, toward)).collect();
        Lenses { lenses: lenses.into(), groups, empty: AppGroup::default() }
    }

    #[must_use]
    pub fn get(&self, number: u16) -> Option<&Lens> {
        self.lenses.get(usize::from(number))
    }

    #[must_use]
    pub fn group(&self, protocol: AppProto, toward: Toward) -> &AppGroup {
        let way = match toward {
            Toward::Server => 0,
            Toward::Client => 1,
        };
        self.groups.get(protocol as usize * WAYS.len() + way).unwrap_or(&self.empty)
    }

    #[must_use]
    pub fn literal_count_max(&self) -> usize {
        self.lenses.iter().map(|lens| lens.prefilter.literal_count()).max().unwrap_or(0)
    }

    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.lenses.iter().map(|lens| lens.prefilter.memory_bytes()).sum()
    }
}

fn file<'r>(filling: &mut Vec<Filling<'r>>, literal: &'r Literal, toward: Toward, number: u32) {
    let key = format!("{:?} {toward:?} {:?}", literal.buffer, literal.transforms);
    let entries = literal.any_of.iter().map(|bytes| (bytes.clone(), number));
    match filling.iter_mut().find(|lens| lens.key == key) {
        Some(lens) => lens.entries.extend(entries),
        None => filling.push(Filling { key, literal, toward, entries: entries.collect() }),
    }
}

fn group(rules: &[Rule], lenses: &[Lens], always: &[(u32, Toward)], protocol: AppProto, toward: Toward) -> AppGroup {
    let concerned = lenses
        .iter()
        .enumerate()
        .filter(|(_, lens)| lens.toward == toward && lens.buffer.info().protocols.contains(protocol));
    let speaks = |number: u32| {
        let rule = usize::try_from(number).ok().and_then(|at| rules.get(at));
        rule.is_some_and(|rule| rule.may_concern(protocol))
    };
    AppGroup {
        lenses: concerned.filter_map(|(at, _)| u16::try_from(at).ok()).collect(),
        always: always
            .iter()
            .filter(|(number, way)| *way == toward && speaks(*number))
            .map(|(number, _)| *number)
            .collect(),
    }
}
