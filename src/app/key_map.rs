//! The keys in force: those of a preset, with the user's own on top.

use std::sync::Arc;

use egui::{Key, Modifiers};

use super::key_names::name;
use super::key_presets::Preset;
use super::keys::{Action, Entry, TABLE, key_text};
use crate::session::keys::{KeyChange, KeyLine};

/// A key with the modifiers that are down; made by [`chord`], so that equal ones are pressed alike.
pub type Chord = (Modifiers, Key);

/// The line of the file that names the preset.
pub const PRESET: &str = "preset";

/// Opens the command palette whatever the user has bound: through it everything else is found.
const ALWAYS: (Action, Chord) = (Action::Palette, (Modifiers::COMMAND, Key::P));

/// Which keys start which action.
#[derive(Clone, Debug)]
pub struct KeyMap {
    pub preset: Preset,
    /// By the lines of the table, the first one shown in menus and tooltips.
    keys: Vec<Vec<Chord>>,
    /// The user's own keys stand there.
    is_own: Vec<bool>,
}

impl Default for KeyMap {
    fn default() -> Self {
        Self::of(&[]).0
    }
}

impl KeyMap {
    /// The map that lines of the user's file make, and of those that do not count the number and the reason.
    ///
    /// Own keys come first: an action of the preset keeps what they leave.
    pub fn of(lines: &[KeyLine]) -> (Self, Vec<(usize, String)>) {
        let mut problems = Vec::new();
        let mut map = Self {
            preset: Preset::default(),
            keys: vec![Vec::new(); TABLE.len()],
            is_own: vec![false; TABLE.len()],
        };
        for line in lines {
            let mut wrong = |why| problems.extend(line.number.map(|number| (number, why)));
            if line.name == PRESET {
                match line.keys.first().and_then(|name| Preset::of_name(name)) {
                    Some(preset) => map.preset = preset,
                    None => {
                        wrong("the presets are \"peaknet\" and \"napari\"".to_owned());
                    }
                }
                continue;
            }
            let is_named = |entry: &Entry| name(entry.action) == line.name;
            let Some(index) = TABLE.iter().position(is_named) else {
                wrong(format!("no action is called {}", line.name));
                continue;
            };
            let mut chords = Vec::new();
            for key in &line.keys {
                match parse(key).and_then(|chord| map.free(index, chord)) {
                    Ok(chord) if chords.contains(&chord) => {}
                    Ok(chord) => chords.push(chord),
                    Err(why) => wrong(why),
                }
            }
            // A line with nothing but mistakes leaves the preset's keys where they are.
            if line.keys.is_empty() || !chords.is_empty() {
                map.put(index, chords, true);
            }
        }
        for (index, entry) in TABLE.iter().enumerate() {
            if !map.is_own.get(index).copied().unwrap_or_default() {
                let of_preset = map.preset.keys(entry).iter();
                let chords = of_preset.filter_map(|&chord| map.free(index, chord).ok());
                let chords = chords.collect();
                map.put(index, chords, false);
            }
            if entry.action == ALWAYS.0
                && let Some(keys) = map.keys.get_mut(index)
                && !keys.contains(&ALWAYS.1)
            {
                keys.push(ALWAYS.1);
            }
        }
        (map, problems)
    }

    fn put(&mut self, index: usize, chords: Vec<Chord>, is_own: bool) {
        if let (Some(keys), Some(own)) = (self.keys.get_mut(index), self.is_own.get_mut(index)) {
            *keys = chords;
            *own = is_own;
        }
    }

    /// The combination, where it means nothing else yet in the layer of that line of the table.
    fn free(&self, index: usize, chord: Chord) -> Result<Chord, String> {
        let entry = TABLE.get(index);
        let is_of_triage = entry.is_some_and(|entry| entry.is_of_triage);
        let is_other = |action: &Action| entry.is_some_and(|entry| entry.action != *action);
        if chord == ALWAYS.1 && is_other(&ALWAYS.0) {
            return Err(always());
        }
        match self.holder(chord, is_of_triage).filter(is_other) {
            Some(other) => Err(format!("{} means {} already", key_text(chord), name(other))),
            None => Ok(chord),
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&'static Entry, &[Chord])> {
        TABLE.iter().zip(self.keys.iter().map(Vec::as_slice))
    }

    /// The keys of an action, the first one shown in menus and tooltips.
    pub fn keys_of(&self, action: Action) -> &[Chord] {
        let found = self.entries().find(|(entry, _)| entry.action == action);
        found.map_or(&[], |(_, keys)| keys)
    }

    /// Whether the user's own keys of the action are in force.
    pub fn is_own(&self, action: Action) -> bool {
        let mut entries = TABLE.iter().zip(&self.is_own);
        entries.any(|(entry, is_own)| entry.action == action && *is_own)
    }

    /// The action that a combination means in a layer: triage's, or the window's.
    pub fn holder(&self, chord: Chord, is_of_triage: bool) -> Option<Action> {
        let mut entries = self.entries();
        entries
            .find(|(entry, keys)| entry.is_of_triage == is_of_triage && keys.contains(&chord))
            .map(|(entry, _)| entry.action)
    }

    /// The action of a pressed key; what triage means by it comes first while it is open.
    pub fn action_of(&self, key: Key, modifiers: Modifiers, is_triage: bool) -> Option<Action> {
        let chord = chord(modifiers, key);
        let in_triage = is_triage.then(|| self.holder(chord, true)).flatten();
        in_triage.or_else(|| self.holder(chord, false))
    }

    /// Whether a key of the action is held down now.
    pub fn is_held(&self, input: &egui::InputState, action: Action) -> bool {
        let mut keys = self.keys_of(action).iter();
        keys.any(|&(modifiers, key)| {
            input.key_down(key) && chord(input.modifiers, key) == (modifiers, key)
        })
    }

    /// Name and first key for a tooltip: `Brush (1)`.
    pub fn tip(&self, action: Action) -> String {
        let text = super::keys::entry_of(action).map_or("", |entry| entry.text);
        match self.keys_of(action).first() {
            Some(key) => format!("{text} ({})", key_text(*key)),
            None => text.to_owned(),
        }
    }

    /// The first key of an action; empty where it has none.
    pub fn key_of(&self, action: Action) -> String {
        let first = self.keys_of(action).first();
        first.map_or_else(String::new, |key| key_text(*key))
    }

    /// The lines that give an action these keys, and take them from whom they are.
    pub fn rebound(&self, action: Action, keys: &[Chord]) -> Vec<KeyChange> {
        let Some(entry) = super::keys::entry_of(action) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        for (other, held) in self.entries() {
            let is_rival = other.is_of_triage == entry.is_of_triage && other.action != action;
            // The preset gives way by itself; what the user wrote has to be written anew.
            if is_rival && self.is_own(other.action) && held.iter().any(|key| keys.contains(key)) {
                let left = held.iter().filter(|key| !keys.contains(key));
                changes.push(KeyChange {
                    name: name(other.action).to_owned(),
                    keys: Some(left.map(|key| key_text(*key)).collect()),
                });
            }
        }
        let is_preset = self.preset.keys(entry) == keys;
        changes.push(KeyChange {
            name: name(action).to_owned(),
            keys: (!is_preset).then(|| keys.iter().map(|key| key_text(*key)).collect()),
        });
        changes
    }

    /// The map that the window draws with.
    pub fn in_force(ctx: &egui::Context) -> Arc<Self> {
        let known = ctx.data(|data| data.get_temp(egui::Id::unique(PLACE)));
        known.unwrap_or_default()
    }

    /// Makes it the map that all widgets draw with.
    pub fn enforce(self, ctx: &egui::Context) {
        ctx.data_mut(|data| data.insert_temp(egui::Id::unique(PLACE), Arc::new(self)));
    }
}

/// Where the context keeps the map.
const PLACE: &str = "key map";

/// A key and the modifiers that count: where Shift is needed to type a sign it says nothing.
pub fn chord(modifiers: Modifiers, key: Key) -> Chord {
    let meant = Modifiers {
        alt: modifiers.alt,
        shift: modifiers.shift && !is_sign(key),
        command: modifiers.command,
        ..Modifiers::NONE
    };
    (meant, key)
}

const fn is_sign(key: Key) -> bool {
    matches!(
        key,
        Key::Colon
            | Key::Comma
            | Key::Minus
            | Key::Period
            | Key::Plus
            | Key::Equals
            | Key::Semicolon
            | Key::OpenBracket
            | Key::CloseBracket
            | Key::OpenCurlyBracket
            | Key::CloseCurlyBracket
            | Key::Backtick
            | Key::Backslash
            | Key::Slash
            | Key::Pipe
            | Key::Questionmark
            | Key::Exclamationmark
            | Key::Quote
    )
}

/// Keys that come with others and mean nothing by themselves.
pub const fn is_modifier(key: Key) -> bool {
    matches!(
        key,
        Key::ShiftLeft
            | Key::ShiftRight
            | Key::ControlLeft
            | Key::ControlRight
            | Key::AltLeft
            | Key::AltRight
            | Key::SuperLeft
            | Key::SuperRight
            | Key::CapsLock
            | Key::NumLock
            | Key::ScrollLock
            | Key::Fn
    )
}

fn always() -> String {
    format!("{} always finds a command", key_text(ALWAYS.1))
}

/// The combination, where it is one that an action may have; otherwise why not.
pub fn bindable(action: Action, (modifiers, key): Chord) -> Result<Chord, String> {
    let is_clipboard = modifiers.command
        && !modifiers.shift
        && !modifiers.alt
        && matches!(key, Key::C | Key::X | Key::V);
    let why = match key {
        Key::Escape => "Escape always drops what is under way".to_owned(),
        Key::Space if modifiers.is_none() => "Space always pans while it is held".to_owned(),
        Key::Copy | Key::Cut | Key::Paste => clipboard(),
        _ if is_clipboard => clipboard(),
        _ if is_modifier(key) => format!("{} needs another key with it", key.name()),
        _ if (modifiers, key) == ALWAYS.1 && action != ALWAYS.0 => always(),
        _ => return Ok((modifiers, key)),
    };
    Err(why)
}

/// Why the keys of the clipboard stay what they are.
pub fn clipboard() -> String {
    "Ctrl+C, Ctrl+X and Ctrl+V copy, cut and paste text".to_owned()
}

/// A combination from how people write it: `Ctrl+Shift+Z`, `[`, `+`; or why it is none.
pub fn parse(text: &str) -> Result<Chord, String> {
    let mut modifiers = Modifiers::NONE;
    let mut rest = text.trim();
    while let Some((head, tail)) = rest.split_once('+')
        && !head.is_empty()
        && !tail.is_empty()
    {
        match head.trim().to_lowercase().as_str() {
            "ctrl" | "control" | "cmd" | "command" => modifiers.command = true,
            "shift" => modifiers.shift = true,
            "alt" | "option" => modifiers.alt = true,
            _ => return Err(format!("{head} is neither Ctrl, Shift nor Alt")),
        }
        rest = tail.trim();
    }
    let mut named = Key::ALL.iter().copied();
    let key =
        Key::from_name(rest).or_else(|| named.find(|key| key.name().eq_ignore_ascii_case(rest)));
    let key = key.ok_or_else(|| format!("no key is called {rest:?}"))?;
    bindable(ALWAYS.0, chord(modifiers, key))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::app::key_names;

    fn line(name: &str, keys: &[&str]) -> KeyLine {
        KeyLine {
            number: Some(name.len()),
            name: name.to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    /// No layer of the map has a combination with two meanings, and each starts what it belongs to.
    fn check(map: &KeyMap) {
        let mut seen = HashSet::new();
        for (entry, keys) in map.entries() {
            for &(modifiers, key) in keys {
                assert!(
                    seen.insert((entry.is_of_triage, modifiers, key)),
                    "{} is taken twice",
                    key_text((modifiers, key))
                );
                let action = map.action_of(key, modifiers, entry.is_of_triage);
                assert_eq!(action, Some(entry.action));
            }
        }
        assert_eq!(
            map.holder(ALWAYS.1, false),
            Some(Action::Palette),
            "always there"
        );
    }

    #[test]
    fn every_preset_is_without_conflict_and_leaves_nobody_without_a_key() {
        let mut names = HashSet::new();
        for entry in TABLE {
            let name = key_names::name(entry.action);
            assert!(names.insert(name), "{name} is two actions");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            );
        }
        for preset in Preset::ALL {
            let (map, problems) = KeyMap::of(&[line(PRESET, &[preset.name()])]);
            assert_eq!((map.preset, problems), (preset, Vec::new()));
            check(&map);
            for (entry, keys) in map.entries() {
                assert_eq!(keys, preset.keys(entry), "{}", entry.text);
                let lost = keys.is_empty() && !entry.keys.is_empty();
                assert!(!lost, "{} has no key in {}", entry.text, preset.name());
                for &key in keys {
                    assert_eq!(parse(&key_text(key)), Ok(key));
                    assert_eq!(bindable(entry.action, key), Ok(key));
                }
            }
        }
    }

    #[test]
    fn napari_s_letters_choose_the_tools_they_choose_there() {
        use crate::session::tool::Tool;
        let (map, _) = KeyMap::of(&[line(PRESET, &["napari"])]);
        // napari 0.6, src/napari/utils/shortcuts.py, the labels layer.
        for (keys, action) in [
            ("1 E", Action::Tool(Tool::Eraser)),
            ("2 P", Action::Tool(Tool::Brush)),
            ("3", Action::Tool(Tool::Polygon)),
            ("4 F", Action::Tool(Tool::Fill)),
            ("5 L", Action::Tool(Tool::Pick)),
            ("X", Action::SwapClass),
            ("[", Action::BrushSmaller),
            ("]", Action::BrushLarger),
            ("B", Action::Protect),
            ("V", Action::ShowLabels),
            ("Ctrl+R", Action::Fit),
            ("Ctrl+Shift+T", Action::Theme),
            ("Ctrl+Z", Action::Undo),
            ("Ctrl+Shift+Z", Action::Redo),
        ] {
            for key in keys.split(' ') {
                let (modifiers, pressed) = parse(key).unwrap();
                let found = map.action_of(pressed, modifiers, false);
                assert_eq!(found, Some(action), "{key}");
            }
        }
    }

    #[test]
    fn own_keys_come_first_and_wrong_lines_are_said() {
        let lines = [
            line("brush", &["ctrl+shift+ k", "B"]),
            line("eraser-", &["K"]),
            line("fill", &["Hyper+K", "Ctrl+", "F99"]),
            line("lasso", &[]),
            line("pick-class", &["B", "Space", "Ctrl+C", "Ctrl++"]),
            line("find-command", &["F1"]),
            line("triage-skip", &["B"]),
            line(PRESET, &["vim"]),
            line("loupe", &["Ctrl+P"]),
        ];
        let (map, problems) = KeyMap::of(&lines);
        check(&map);
        let text = |action| {
            let keys = map.keys_of(action).iter().map(|key| key_text(*key));
            keys.collect::<Vec<_>>().join(" ")
        };
        use crate::session::tool::Tool;
        use crate::session::triage::Verdict;
        assert_eq!(text(Action::Tool(Tool::Brush)), "Ctrl+Shift+K B");
        assert_eq!(text(Action::Protect), "", "its key was taken over");
        assert_eq!(text(Action::Tool(Tool::Fill)), "4", "as in the preset");
        assert_eq!(text(Action::Tool(Tool::Lasso)), "");
        assert_eq!(text(Action::Tool(Tool::Pick)), "Ctrl++");
        assert_eq!(text(Action::Palette), "F1 Ctrl+P");
        assert_eq!(text(Action::Loupe), "L");
        assert_eq!(
            text(Action::Decide(Verdict::Skip)),
            "B",
            "a layer of its own"
        );
        let wrong: Vec<usize> = problems.iter().map(|(line, _)| *line).collect();
        assert_eq!(wrong, [7, 4, 4, 4, 10, 10, 10, 6, 5], "{problems:?}");
    }

    #[test]
    fn a_combination_is_taken_over_and_given_back() {
        use crate::session::tool::Tool;
        let brush = Action::Tool(Tool::Brush);
        let mut lines: Vec<KeyLine> = Vec::new();
        let mut rebind = |action, keys: &[Chord]| {
            let (map, _) = KeyMap::of(&lines);
            for change in map.rebound(action, keys) {
                lines.retain(|line| line.name != change.name);
                lines.extend(change.keys.map(|keys| KeyLine {
                    number: None,
                    name: change.name,
                    keys,
                }));
            }
            let (map, problems) = KeyMap::of(&lines);
            check(&map);
            assert!(problems.is_empty());
            map
        };
        let b = (Modifiers::NONE, Key::B);
        let map = rebind(brush, &[b]);
        assert_eq!(map.holder(b, false), Some(brush));
        assert!(map.keys_of(Action::Protect).is_empty() && !map.is_own(Action::Protect));
        // Taken from the user's own line, which is then without it.
        let map = rebind(Action::Loupe, &[b]);
        assert_eq!(map.holder(b, false), Some(Action::Loupe));
        assert!(map.keys_of(brush).is_empty() && map.is_own(brush));
        // With the preset's key again no line is needed, and what it displaced is back.
        let map = rebind(Action::Loupe, &[(Modifiers::NONE, Key::L)]);
        assert!(!map.is_own(Action::Loupe));
        assert_eq!(map.holder(b, false), Some(Action::Protect));
    }
}
