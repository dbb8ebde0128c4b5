//! Patterns of unit names, as systemctl takes them (`fnmatch` with `FNM_NOESCAPE`: `*`, `?` and `[...]`), and the
//! automaton by which the kernel side knows all that a name matches after one look at each of its bytes.

use std::collections::{BTreeSet, HashMap};

use crate::skel::types;
use crate::unit_name::check_character;

/// Bytes that names of units may have: ASCII.
const BYTES: usize = types::limits::NAME_BYTES.0 as usize;

/// One byte of a name, as a set of those there may be.
type Bytes = u128;

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    One(Bytes),
    /// `*`
    Any,
}

/// True if a name is a pattern.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

impl Pattern {
    /// Reads a pattern; a name without `*`, `?` and `[` is one that only it matches.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One(Bytes::MAX),
                '[' => {
                    let (set, after) = bracket(rest.as_str())?;
                    rest = after.chars();
                    Piece::One(set)
                }
                c => {
                    check_character(c)?;
                    Piece::One(one(c)?)
                }
            });
        }
        Ok(Self(pieces))
    }

    /// True if it matches all of a name.
    pub fn matches(&self, name: &str) -> bool {
        let patterns = [self];
        let step = |at: Positions, c| one(c).ok().map(|byte| step(&patterns, &at, byte));
        let end = name.chars().try_fold(begin(&patterns), step);
        end.is_some_and(|end| matched(&patterns, &end).next().is_some())
    }
}

fn one(c: char) -> Result<Bytes, String> {
    if c.is_ascii() { Ok(1 << u32::from(c)) } else { Err(format!("{c:?} is not allowed in a unit name")) }
}

/// Reads the rest of a bracket, and gives what is behind it.
fn bracket(text: &str) -> Result<(Bytes, &str), String> {
    let inside = text.strip_prefix(['!', '^']);
    let negated = inside.is_some();
    let inside = inside.unwrap_or(text);
    // A ] that comes first is one of the set.
    let first = inside.chars().next().map_or(0, char::len_utf8);
    let end = inside.get(first..).and_then(|t| t.find(']')).ok_or("a [ has no ] that ends its set")? + first;
    let members: Vec<char> = inside[..end].chars().collect();
    if members.windows(2).any(|w| w[0] == '[' && ":.=".contains(w[1])) {
        return Err("classes of characters, as in [[:digit:]], are not supported; write [0-9]".to_owned());
    }
    let mut set = 0;
    let mut rest = members.as_slice();
    while let Some((&from, after)) = rest.split_first() {
        let (to, behind) = if let ['-', to, behind @ ..] = after { (*to, behind) } else { (from, after) };
        if from > to {
            return Err(format!("the range {from}-{to} is empty"));
        }
        for c in from..=to {
            set |= one(c)?;
        }
        rest = behind;
    }
    Ok((if negated { !set } else { set }, &inside[end + 1..]))
}

/// How far each of some patterns may have come in a name: patterns and pieces by number, sorted.
type Positions = BTreeSet<(usize, usize)>;

/// Adds a position, and those behind each `*` there, which may stand for nothing.
fn add(patterns: &[&Pattern], positions: &mut Positions, pattern: usize, mut piece: usize) {
    positions.insert((pattern, piece));
    while patterns[pattern].0.get(piece) == Some(&Piece::Any) {
        piece += 1;
        positions.insert((pattern, piece));
    }
}

fn begin(patterns: &[&Pattern]) -> Positions {
    let mut positions = Positions::new();
    for pattern in 0..patterns.len() {
        add(patterns, &mut positions, pattern, 0);
    }
    positions
}

/// What comes after one of these bytes; each set of the pieces here has all of them, or none.
fn step(patterns: &[&Pattern], positions: &Positions, bytes: Bytes) -> Positions {
    let mut next = Positions::new();
    for &(pattern, piece) in positions {
        match patterns[pattern].0.get(piece) {
            Some(Piece::Any) => add(patterns, &mut next, pattern, piece),
            Some(Piece::One(set)) if set & bytes != 0 => add(patterns, &mut next, pattern, piece + 1),
            _ => (),
        }
    }
    next
}

/// Bytes that some piece here tells from others; all others lead to the same.
fn told_apart(patterns: &[&Pattern], positions: &Positions) -> Bytes {
    let set = |&(pattern, piece): &(usize, usize)| match patterns[pattern].0.get(piece) {
        Some(Piece::One(set)) => *set,
        _ => 0,
    };
    positions.iter().map(set).fold(0, |all, set| all | set)
}

/// The patterns that match a name which ends here.
fn matched(patterns: &[&Pattern], positions: &Positions) -> impl Iterator<Item = usize> {
    positions
        .iter()
        .filter(|(pattern, piece)| *piece == patterns[*pattern].0.len())
        .map(|(pattern, _)| *pattern)
}

/// A state of an automaton, by number.
pub type StateId = u16;

/// The state from which nothing matches.
pub const DEAD: StateId = 0;

/// The state of the empty name.
pub const START: StateId = 1;

/// Number of a set of patterns that match the same name; 0 is none of them.
pub type SetId = u32;

/// Patterns taken together: a name leads through its states, byte by byte, to one that says which of them match.
#[derive(Debug, Default)]
pub struct Automaton {
    /// The state after each byte.
    next: Vec<[StateId; BYTES]>,
    /// The set that matches what leads to a state.
    matched: Vec<SetId>,
    /// The sets, of patterns by number, sorted.
    sets: Vec<Vec<usize>>,
}

/// Patterns that would need more states than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Automaton {
    /// Puts patterns together in at most as many states as this.
    pub fn new(patterns: &[&Pattern], limit: usize) -> Result<Self, TooMany> {
        let mut numbers = HashMap::from([(Positions::new(), DEAD)]);
        let mut states = vec![Positions::new()];
        let mut number = |positions: Positions, states: &mut Vec<Positions>| {
            if let Some(number) = numbers.get(&positions) {
                return Ok(*number);
            }
            let number =
                StateId::try_from(states.len()).ok().filter(|_| states.len() < limit).ok_or(TooMany)?;
            states.push(positions.clone());
            numbers.insert(positions, number);
            Ok(number)
        };
        // Without patterns it is the dead one.
        number(begin(patterns), &mut states)?;
        let mut next = Vec::new();
        while let Some(positions) = states.get(next.len()).cloned() {
            let told_apart = told_apart(patterns, &positions);
            let mut row = [number(step(patterns, &positions, 0), &mut states)?; BYTES];
            for (byte, to) in row.iter_mut().enumerate().filter(|(byte, _)| told_apart >> byte & 1 != 0) {
                *to = number(step(patterns, &positions, 1 << byte), &mut states)?;
            }
            next.push(row);
        }
        let of_states: Vec<Vec<usize>> = states.iter().map(|at| matched(patterns, at).collect()).collect();
        let mut sets = of_states.clone();
        // The dead state's is the empty one, which sorts first.
        sets.sort();
        sets.dedup();
        let set_number =
            |set| sets.binary_search(set).ok().and_then(|i| SetId::try_from(i).ok()).ok_or(TooMany);
        let matched = of_states.iter().map(set_number).collect::<Result<_, _>>()?;
        Ok(Self { next, matched, sets })
    }

    /// The states but the dead one: what comes after each byte, and the set that matches there.
    pub fn states(&self) -> impl Iterator<Item = (StateId, &[StateId; BYTES], SetId)> {
        (0..).zip(&self.next).zip(&self.matched).map(|((id, next), set)| (id, next, *set)).skip(1)
    }

    /// The sets of patterns but the empty one, with their numbers.
    pub fn sets(&self) -> impl Iterator<Item = (SetId, &[usize])> {
        (0..).zip(&self.sets).map(|(number, set)| (number, set.as_slice())).skip(1)
    }

    /// The patterns of a set.
    pub fn set(&self, number: SetId) -> &[usize] {
        usize::try_from(number).ok().and_then(|i| self.sets.get(i)).map_or(&[], Vec::as_slice)
    }

    /// The state after one more byte.
    pub fn step(&self, state: StateId, byte: u8) -> StateId {
        self.next.get(usize::from(state)).and_then(|row| row.get(usize::from(byte))).copied().unwrap_or(DEAD)
    }

    /// The state after these bytes.
    pub fn walk(&self, from: StateId, text: &str) -> StateId {
        text.bytes().fold(from, |state, byte| self.step(state, byte))
    }

    /// The set that matches what leads from a state over this text.
    pub fn matched(&self, from: StateId, text: &str) -> SetId {
        self.matched.get(usize::from(self.walk(from, text))).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// pattern, name, whether it matches
    const CASES: [(&str, &str, bool); 27] = [
        ("web-*.service", "web-1.service", true),
        ("web-*.service", "web-.service", true),
        ("web-*.service", "web-a.service.service", true),
        ("web-*.service", "web-1.socket", false),
        ("web-*.service", "my-web-1.service", false),
        ("*-web.service", "a-web-web.service", true),
        ("*-web.service", "a-web-wet.service", false),
        ("*.service", ".service", true),
        ("**a**.service", "bab.service", true),
        ("*a*b*.service", "xbxaxb.service", true),
        ("*a*b*.service", "xbxax.service", false),
        ("w?b.service", "web.service", true),
        ("w?b.service", "wb.service", false),
        ("w?b.service", "weeb.service", false),
        ("w[ae]b.service", "wab.service", true),
        ("w[ae]b.service", "wib.service", false),
        ("w[!ae]b.service", "wib.service", true),
        ("w[^ae]b.service", "web.service", false),
        ("w[0-9a]b.service", "w7b.service", true),
        ("w[0-9a]b.service", "w-b.service", false),
        ("w[a-]b.service", "w-b.service", true),
        ("w[-a]b.service", "w-b.service", true),
        ("w[]a]b.service", "w]b.service", true),
        ("w[!]a]b.service", "w]b.service", false),
        ("w[\\]b.service", "w\\b.service", true),
        ("a\\*.service", "a\\x2db.service", true),
        ("web@*.service", "web@1.service", true),
    ];

    #[test]
    fn patterns_match_as_fnmatch_has_it() {
        for (pattern, name, matches) in CASES {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
        assert!(!Pattern::parse("w*.service").unwrap().matches("wéb.service"));
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for (pattern, reason) in [
            ("web-[.service", "no ]"),
            ("web-[].service", "no ]"),
            ("web-[[:digit:]].service", "[0-9]"),
            ("web-[9-0].service", "9-0 is empty"),
            ("wéb-*.service", "'é' is not allowed"),
            ("web-[é].service", "'é' is not allowed"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }

    /// Whatever patterns are put together: of a name it says which match, as each of them does.
    #[test]
    fn an_automaton_agrees_with_its_patterns() {
        let patterns: Vec<_> = CASES.iter().map(|(p, ..)| Pattern::parse(p).unwrap()).collect();
        let automaton = Automaton::new(&patterns.iter().collect::<Vec<_>>(), 4096).unwrap();
        for (_, name, _) in CASES {
            let expected: Vec<_> =
                patterns.iter().enumerate().filter(|(_, p)| p.matches(name)).map(|(i, _)| i).collect();
            assert_eq!(automaton.set(automaton.matched(START, name)), expected, "{name}");
        }
        assert_eq!(automaton.matched(START, "wéb.service"), 0);
    }

    #[test]
    fn no_patterns_and_too_many() {
        assert_eq!(Automaton::new(&[], 4096).unwrap().states().count(), 0);
        let text = "*a????????????.service";
        let pattern = Pattern::parse(text).unwrap();
        // Which of the last twelve bytes were an "a".
        assert_eq!(Automaton::new(&[&pattern], 4096).unwrap_err(), TooMany);
        assert!(pattern.matches("aaa123456789012.service"));
    }
}
