//! The user's own files: recent runs, how the window is arranged, keys.

use super::{Shared, lock};
use crate::domain::columns::Column;
use crate::io;
use crate::io::settings::{Settings, WindowSettings};
use crate::session::arrangement::Arrangement;
use crate::session::command::RunRequest;
use crate::session::job::Report;
use crate::session::keys::{KeyFile, KeyLine};

/// Reports all that was kept at the last start.
pub fn report(shared: &Shared) {
    report_keys(shared);
    report_recent(shared);
    let (settings, _) = io::settings::load();
    let kept = arrangement_of(&settings.window);
    shared.report(Report::Arranged(Box::new(kept)));
}

/// Keeps how the window is arranged.
pub fn keep(shared: &Shared, arrangement: &Arrangement) {
    change(shared, |settings| {
        settings.window = settings_of(arrangement)
    });
}

fn change(shared: &Shared, change: impl FnOnce(&mut Settings)) {
    // Two threads change them.
    let _alone = lock(&shared.settings);
    let (mut settings, notice) = io::settings::load();
    // What could not be read now is not replaced by what is not it; what is damaged was put aside.
    if let Some(notice) = notice
        && io::settings::exist()
    {
        return shared.report(Report::Notice(notice));
    }
    change(&mut settings);
    if let Err(error) = io::settings::store(&settings) {
        shared.report(Report::Notice(error.to_string()));
    }
}

const THEMES: [&str; 2] = ["light", "dark"];

fn arrangement_of(kept: &WindowSettings) -> Arrangement {
    let width = |points: Option<f32>| points.filter(|points| points.is_finite());
    let theme = kept.theme.as_deref();
    let is_dark = theme.and_then(|theme| THEMES.iter().position(|name| *name == theme));
    let columns = kept.columns.as_ref().map(|names| {
        let known = names.iter().filter_map(|name| Column::from_name(name));
        known.collect()
    });
    Arrangement {
        is_dark: is_dark.map(|index| index == 1),
        table_width: width(kept.table_width),
        inspector_width: width(kept.inspector_width),
        columns,
        has_thumbnails: kept.thumbnails,
        sort: (kept.sort.as_deref())
            .and_then(Column::from_name)
            .map(|column| (column, kept.descending)),
    }
}

fn settings_of(arrangement: &Arrangement) -> WindowSettings {
    let name = |column: &Column| column.name().to_owned();
    let [light, dark] = THEMES;
    WindowSettings {
        theme: (arrangement.is_dark).map(|is_dark| (if is_dark { dark } else { light }).to_owned()),
        table_width: arrangement.table_width,
        inspector_width: arrangement.inspector_width,
        columns: (arrangement.columns.as_ref()).map(|columns| columns.iter().map(name).collect()),
        thumbnails: arrangement.has_thumbnails,
        sort: arrangement.sort.as_ref().map(|(column, _)| name(column)),
        descending: arrangement
            .sort
            .is_some_and(|(_, is_descending)| is_descending),
    }
}

/// Puts an opened run at the head of the recent ones.
pub fn remember(shared: &Shared, request: &RunRequest) {
    change(shared, |settings| {
        if let Some(path) = request.paths.first() {
            settings.remember_run(path, request.project.as_deref());
        }
    });
    report_recent(shared);
}

fn report_keys(shared: &Shared) {
    let Some(path) = io::keys::path() else { return };
    let (loaded, error) = match io::keys::load_from(&path) {
        Ok(loaded) => (loaded, None),
        Err(reason) => (io::keys::Loaded::default(), Some(reason)),
    };
    let lines = loaded.lines.into_iter().map(|line| KeyLine {
        number: Some(line.number),
        name: line.name,
        keys: line.keys,
    });
    shared.report(Report::Keys(KeyFile {
        path,
        lines: lines.collect(),
        problems: loaded.problems,
        error,
    }));
}

fn report_recent(shared: &Shared) {
    let (settings, notice) = io::settings::load();
    if let Some(notice) = notice {
        shared.report(Report::Notice(notice));
    }
    shared.report(Report::RecentRuns(settings.recent_runs()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrangement_comes_back_and_what_is_not_understood_is_left_out() {
        let arrangement = Arrangement {
            is_dark: Some(false),
            table_width: Some(412.0),
            inspector_width: None,
            columns: Some(vec![Column::Frame, Column::Maximum, Column::Tags]),
            has_thumbnails: true,
            sort: Some((Column::Doubt, true)),
        };
        assert_eq!(arrangement_of(&settings_of(&arrangement)), arrangement);
        assert_eq!(
            arrangement_of(&WindowSettings::default()),
            Arrangement::default()
        );
        let odd = WindowSettings {
            theme: Some("pink".to_owned()),
            table_width: Some(f32::NAN),
            sort: Some("beauty".to_owned()),
            ..WindowSettings::default()
        };
        assert_eq!(arrangement_of(&odd), Arrangement::default());
    }
}
