//! The question that labels from elsewhere raise, in the real window: answered by mouse.

mod memory;

use std::path::PathBuf;

use egui_kittest::kittest::Queryable;
use memory::{crystal, settle, window};
use peaknet_studio::domain::incoming::{ImportChoices, OnConflict, Question};
use peaknet_studio::session::import::ImportAsked;
use peaknet_studio::session::job::{Job, Report};

#[test]
fn the_codes_of_another_labeller_are_named_before_anything_comes_in() {
    let frames = vec![crystal(0, 200, 160)];
    let Some((mut harness, memory)) = window([1000.0, 700.0], true, frames, false) else {
        return;
    };
    let run = harness.state().session.run.as_ref().expect("open").serial;
    let asked = ImportAsked {
        labels: PathBuf::from("/data/labels.cxi"),
        question: Question::Codes(vec![0, 1, 2, 3]),
        choices: ImportChoices::default(),
    };
    harness
        .state_mut()
        .session
        .absorb(Report::ImportAsks { run, asked });
    settle(&mut harness, 4);
    if let Some(folder) = std::env::var_os("PEAKNET_PICTURES") {
        let image = harness.render().expect("rendered");
        let saved = image.save(PathBuf::from(folder).join("import.png"));
        saved.expect("saved");
    }
    harness.get_by_label("code 2 is artifact").click();
    harness
        .get_by_label("Replace what a person painted or confirmed")
        .click();
    settle(&mut harness, 4);
    harness.get_by_label("Import").click();
    // Nothing answers the import, so that the window waits for it.
    harness.run_steps(4);
    let memory = memory.borrow();
    let Some(Job::Import { choices, .. }) = memory.stored.last() else {
        panic!("nothing is imported");
    };
    let codes = choices.codes.as_ref().map(|codes| codes.text());
    assert_eq!(
        codes.as_deref(),
        Some("0=background,1=peak,2=artifact,3=ignore")
    );
    assert_eq!(choices.on_conflict, OnConflict::Replace);
    assert!(harness.state().session.importing.is_some());
    assert!(!harness.state().session.can_paint());
}
