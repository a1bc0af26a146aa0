//! Labels from elsewhere into projects and out again: every form, what is asked, and that no hand-painted pixel is lost.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::path::{Path, PathBuf};

use peaknet_studio::domain::frame::{MaskPolarity, bad};
use peaknet_studio::domain::grid::{Grid, PixelRect};
use peaknet_studio::domain::incoming::{CodeMap, ImportChoices, OnConflict, Question, Reflections};
use peaknet_studio::domain::labels::{Class, Edit, Review, Sheet};
use peaknet_studio::domain::peaks::Peak;
use peaknet_studio::io::export::{self, Which};
use peaknet_studio::io::h5::{Creation, Writer};
use peaknet_studio::io::import::{self, Opened, Tally};
use peaknet_studio::io::masks::written::{MaskFormat, write};
use peaknet_studio::io::peak_list::PeakWriter;
use peaknet_studio::io::project::{Mode, Project, Provenance, RunKey};
use peaknet_studio::io::{OpenOptions, Run, open_run};

const SIDE: usize = 64;
const FRAMES: usize = 4;
/// Spots of every frame, and a place without one.
const SPOTS: [(usize, usize); 3] = [(15, 20), (40, 12), (50, 50)];
const NOTHING: (usize, usize) = (20, 50);

fn value(frame: usize, x: usize, y: usize) -> f32 {
    let noise = ((x * 31 + y * 17 + frame * 7) % 7) as f32;
    let spots = SPOTS.iter().map(|(sx, sy)| {
        let (dx, dy) = (x as f32 - *sx as f32, y as f32 - *sy as f32);
        900.0 * (-(dx * dx + dy * dy) / 3.0).exp()
    });
    20.0 + noise + spots.sum::<f32>()
}

/// A CXI file of frames, with what `more` adds.
fn write_run(path: &Path, more: impl FnOnce(&Writer)) {
    let writer = Writer::create(path, path).unwrap();
    let creation = Creation::frames(SIDE, SIDE, 1);
    let mut data = writer
        .chunks::<f32>("/entry_1/data_1/data", &creation)
        .unwrap();
    for frame in 0..FRAMES {
        data.grow(&[frame + 1, SIDE, SIDE]).unwrap();
        let pixels = Grid::from_fn(SIDE, SIDE, |x, y| value(frame, x, y));
        data.write(&[frame, 0, 0], pixels.cells()).unwrap();
    }
    drop(data);
    more(&writer);
    writer.close().unwrap();
}

/// A class map of these codes under a name, one sheet after the other.
fn write_map(writer: &Writer, name: &str, frames: usize, code: impl Fn(usize, usize, usize) -> u8) {
    let mut map = writer
        .chunks::<u8>(name, &Creation::frames(SIDE, SIDE, 1))
        .unwrap();
    for frame in 0..frames {
        map.grow(&[frame + 1, SIDE, SIDE]).unwrap();
        let codes = Grid::from_fn(SIDE, SIDE, |x, y| code(frame, x, y));
        map.write(&[frame, 0, 0], codes.cells()).unwrap();
    }
}

struct Bench {
    folder: tempfile::TempDir,
    run: Run,
    project: Project,
    key: RunKey,
}

impl Bench {
    fn new(more: impl FnOnce(&Writer)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.cxi");
        write_run(&path, more);
        let options = OpenOptions {
            dataset: Some("/entry_1/data_1/data".to_owned()),
            ..OpenOptions::default()
        };
        let run = open_run(&[path], &options).unwrap();
        let (project, key) = project(&folder.path().join("work.peaknet"), &run);
        Self {
            folder,
            run,
            project,
            key,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, name: &str, choices: &ImportChoices) -> Result<Opened, String> {
        import::open(&self.run, &self.at(name), choices).map_err(|error| error.to_string())
    }

    /// Brings everything in; what was done and said.
    fn bring(&mut self, name: &str, choices: &ImportChoices) -> (Tally, Vec<String>) {
        let Opened::Ready(labels) = self.open(name, choices).unwrap() else {
            panic!("{name} asks");
        };
        let mut tally = Tally::default();
        for (place, number) in labels.frames.iter().enumerate() {
            let Some((incoming, counts)) = labels.read(&self.run, place).unwrap() else {
                continue;
            };
            let (tool, project) = (&labels.tool, &mut self.project);
            let done = import::bring(project, self.key, *number, &incoming, tool, choices, "ann");
            tally.add(*number, done.unwrap(), counts);
        }
        let mut said = labels.notices.clone();
        said.extend(tally.sentences(choices.on_conflict));
        (tally, said)
    }

    fn sheet(&mut self, frame: usize) -> Sheet {
        self.project.load_sheet(self.key, frame).unwrap()
    }

    fn paint(&mut self, frame: usize, rect: PixelRect, class: Class, tool: &str) {
        let before = self.sheet(frame);
        let mut after = before.clone();
        after.paste_rect(rect, &vec![class.code(); rect.area()]);
        let edit = Edit::between(&before, &after, rect, tool).unwrap();
        let by = Provenance {
            who: "ann".to_owned(),
            net: None,
        };
        self.project
            .store_edit(self.key, frame, &edit, &by)
            .unwrap();
    }
}

fn project(path: &Path, run: &Run) -> (Project, RunKey) {
    let mode = Mode::Write {
        who: "ann".to_owned(),
    };
    let mut project = Project::open(path, mode).unwrap();
    let key = project.add_run(&run.info).unwrap();
    (project, key)
}

fn count(sheet: &Sheet, class: Class) -> usize {
    let is = |code: &&u8| **code == class.code();
    sheet.cells().iter().filter(is).count()
}

/// The four layers of carbonscott/manual-peak-labeler are never guessed, this program's own codes never asked about.
#[test]
fn a_segmask_of_the_labs_labeller_is_mapped_by_an_answer() {
    let four = |frame: usize, x: usize, y: usize| ((x / 8 + y / 8 + frame) % 4) as u8;
    let mut bench = Bench::new(|writer| {
        write_map(writer, "/entry_1/data_1/segmask", FRAMES, four);
    });
    let asked = bench.open("run.cxi", &ImportChoices::default()).unwrap();
    assert!(matches!(asked, Opened::Ask(Question::Codes(codes)) if codes == [0, 1, 2, 3]));
    let map = |text: &str| ImportChoices {
        codes: Some(CodeMap::parse(text).unwrap()),
        ..ImportChoices::default()
    };
    let half = bench.open("run.cxi", &map("0=background,1=peak")).unwrap();
    assert!(matches!(half, Opened::Ask(Question::Codes(_))));
    let (tally, said) = bench.bring("run.cxi", &map("0=background,1=peak,2=ignore,3=ignore"));
    assert_eq!((tally.frames, tally.changed, said), (4, 4, Vec::new()));
    for frame in 0..FRAMES {
        let wanted = Grid::from_fn(SIDE, SIDE, |x, y| match four(frame, x, y) {
            code @ (0 | 1) => code,
            _ => 255,
        });
        assert_eq!(bench.sheet(frame), wanted);
    }
    // 2 alone may be either, 0 and 1 speak for themselves, 255 is this program's own.
    for (codes, is_asked) in [([0, 1, 2], true), ([0, 1, 1], false), ([1, 2, 255], false)] {
        let path = bench.at("labels.cxi");
        let writer = Writer::create(&path, &path).unwrap();
        write_map(&writer, "/entry_1/data_1/segmask", FRAMES, |_, x, _| {
            codes[x % 3]
        });
        writer.close().unwrap();
        let opened = bench.open("labels.cxi", &ImportChoices::default()).unwrap();
        assert_eq!(matches!(opened, Opened::Ask(_)), is_asked, "{codes:?}");
    }
}

/// Every export comes back into another project, also when it is of some frames only.
#[test]
fn exports_come_back_where_they_belong() {
    let mut bench = Bench::new(|_| {});
    for frame in [1, 3] {
        let rect = PixelRect::new(3, 4, 20 + frame, 12);
        bench.paint(frame, rect, Class::Peak, "brush peak");
        bench.paint(
            frame,
            PixelRect::new(30, 30, 40, 33),
            Class::Artifact,
            "accept net",
        );
        bench.paint(
            frame,
            PixelRect::new(50, 1, 52, 3),
            Class::Ignore,
            "brush ignore",
        );
        let (key, review) = (bench.key, Review::Confirmed);
        bench.project.set_review(key, frame, review).unwrap();
    }
    let wanted = [bench.sheet(1), bench.sheet(3)];
    for (format, name) in [
        ("set", "out.h5"),
        ("cxi", "out.cxi"),
        ("png", "out"),
        ("npy", "out.npy"),
    ] {
        let out = bench.at(name);
        let (project, which) = (&mut bench.project, Which::Reviewed);
        let done = export::export(project, &out, format, which, false, &mut |_, _| {}).unwrap();
        assert_eq!(done.frames, 2, "{format}");
        let (mut other, key) = project_of(&bench, format);
        std::mem::swap(&mut bench.project, &mut other);
        let own_key = std::mem::replace(&mut bench.key, key);
        let mut choices = ImportChoices {
            reviewed: true,
            ..ImportChoices::default()
        };
        if format == "npy" {
            let Err(refused) = bench.open(name, &choices).map(|_| ()) else {
                panic!("an array names no frames");
            };
            assert!(refused.contains("--frames"), "{refused}");
            choices.frames = Some(2..4);
            bench.bring(name, &choices);
            assert_eq!([bench.sheet(2), bench.sheet(3)], wanted);
        } else {
            bench.bring(name, &choices);
            assert_eq!([bench.sheet(1), bench.sheet(3)], wanted, "{format}");
            let states = bench.project.review_states(key).unwrap();
            assert_eq!(states, [(1, Review::Confirmed), (3, Review::Confirmed)]);
        }
        bench.key = own_key;
        std::mem::swap(&mut bench.project, &mut other);
    }
    let texts = peaknet_studio::io::h5::read_texts(&bench.at("out.h5"), "/metadata").unwrap();
    let value: serde_json::Value = serde_json::from_str(&texts[1]).unwrap();
    assert_eq!(
        (&value["frame"], &value["curator"]),
        (&3.into(), &"ann".into())
    );
    assert!(value["edited"].as_str().unwrap().ends_with('Z') && value["event"].is_string());
    // Labels of another run are refused by name.
    let path = bench.at("other.cxi");
    write_run(&path, |_| {});
    bench.run = open_run(&[path], &OpenOptions::default()).unwrap();
    let refused = bench.open("out.h5", &ImportChoices::default()).map(|_| ());
    assert!(refused.is_err_and(|error| error.contains("another run")));
}

fn project_of(bench: &Bench, name: &str) -> (Project, RunKey) {
    project(&bench.at(&format!("{name}.peaknet")), &bench.run)
}

fn listed(place: (usize, usize)) -> Peak {
    Peak {
        x: place.0 as f32 + 0.5,
        y: place.1 as f32 + 0.5,
        ..Peak::default()
    }
}

/// CrystFEL's stream format 2.3, as its stream.c writes it.
fn stream(image: &str) -> String {
    let mut text = "CrystFEL stream format 2.3\n".to_owned();
    for frame in 0..FRAMES - 1 {
        text += &format!(
            "----- Begin chunk -----\nImage filename: {image}\nEvent: //{frame}\nindexed_by = {}\n",
            if frame == 1 { "none" } else { "mosflm" }
        );
        text += "Peaks from peak search\n  fs/px   ss/px (1/d)/nm^-1   Intensity  Panel\n";
        for (x, y) in [SPOTS[0], NOTHING] {
            text += &format!("{x}.50 {y}.50 1.0 500.0 p0\n");
        }
        text += "End of peak list\n";
        if frame != 1 {
            text += "--- Begin crystal\nReflections measured after indexing\n";
            text +=
                "   h    k    l          I   sigma(I)       peak background  fs/px  ss/px panel\n";
            for (i, (x, y)) in SPOTS.iter().enumerate() {
                text += &format!(
                    "{i} 0 1 {}.0 10.0 900 20 {x}.9 {y}.1 p0\n",
                    [900, 45, 300][i]
                );
            }
            text += "End of reflections\n--- End crystal\n";
        }
        text += "----- End chunk -----\n";
    }
    text
}

#[test]
fn listed_peaks_grow_to_pixels_by_the_rule() {
    let mut bench = Bench::new(|writer| {
        let mut peaks = PeakWriter::create(writer, FRAMES).unwrap();
        peaks
            .write(0, &[listed(SPOTS[0]), listed(SPOTS[2])])
            .unwrap();
        peaks.write(2, &[listed(NOTHING)]).unwrap();
        peaks.finish(writer).unwrap();
    });
    let (tally, said) = bench.bring("run.cxi", &ImportChoices::default());
    assert_eq!((tally.frames, tally.listed, tally.grown), (4, 3, 2));
    assert!(
        said[0].starts_with("1 of 3 listed peaks are not labelled"),
        "{said:?}"
    );
    let is_peak = |sheet: &Sheet, (x, y): (usize, usize)| sheet.get(x, y) == Some(&1);
    let first = bench.sheet(0);
    assert!(is_peak(&first, SPOTS[0]) && is_peak(&first, SPOTS[2]) && !is_peak(&first, SPOTS[1]));
    assert!((10..300).contains(&count(&first, Class::Peak)) && count(&first, Class::Ignore) > 10);
    assert_eq!(count(&bench.sheet(2), Class::Peak), 0);

    for (image, is_named) in [("/data/run.cxi", true), ("/data/elsewhere.h5", false)] {
        std::fs::write(bench.at("run.stream"), stream(image)).unwrap();
        let asked = bench.open("run.stream", &ImportChoices::default()).unwrap();
        assert!(matches!(asked, Opened::Ask(Question::Reflections)));
        for (reflections, frames, spots) in [
            (Reflections::Found, vec![0, 1, 2], [true, false, false]),
            (Reflections::Predicted, vec![0, 2], [true, false, true]),
            (Reflections::Both, vec![0, 1, 2], [true, false, true]),
        ] {
            let name = format!("{is_named}{reflections:?}");
            let (mut other, key) = project_of(&bench, &name);
            std::mem::swap(&mut bench.project, &mut other);
            let own_key = std::mem::replace(&mut bench.key, key);
            let choices = ImportChoices {
                reflections: Some(reflections),
                ..ImportChoices::default()
            };
            let (tally, said) = bench.bring("run.stream", &choices);
            assert_eq!(said.iter().any(|s| s.contains("elsewhere.h5")), !is_named);
            assert_eq!(tally.frames, frames.len(), "{name}");
            let sheet = bench.sheet(0);
            assert_eq!(SPOTS.map(|spot| is_peak(&sheet, spot)), spots, "{name}");
            // One import of one frame is one step.
            bench.project.undo(key, 0).unwrap();
            assert_eq!(count(&bench.sheet(0), Class::Background), SIDE * SIDE);
            bench.key = own_key;
            std::mem::swap(&mut bench.project, &mut other);
        }
    }
}

#[test]
fn masks_become_artifact_or_ignore_and_peaks_win() {
    let mut bench = Bench::new(|_| {});
    // pyFAI's masks are EDF files of bytes, 1 = masked.
    let ring = Grid::from_fn(SIDE, SIDE, |x, y| u16::from(x + y < 40) * bad::HOT);
    let path = bench.at("ring.edf");
    write(
        &path,
        MaskFormat::of(&path).unwrap(),
        &ring,
        bad::NOT_VALID,
        false,
    )
    .unwrap();
    let asked = bench.open("ring.edf", &ImportChoices::default()).unwrap();
    assert!(matches!(asked, Opened::Ask(Question::Mask)));
    bench.paint(0, PixelRect::new(2, 2, 5, 5), Class::Peak, "accept net");
    let choices = |class| ImportChoices {
        mask_as: Some(class),
        masked_are: MaskPolarity::Detected,
        ..ImportChoices::default()
    };
    let masked = ring.cells().iter().filter(|bits| **bits != 0).count();
    let (tally, said) = bench.bring("ring.edf", &choices(Class::Artifact));
    assert_eq!((tally.frames, tally.replaced), (FRAMES, 0));
    assert!(
        said[0].contains("masked pixels") && said[0].contains("--masked-are"),
        "{said:?}"
    );
    assert_eq!(count(&bench.sheet(0), Class::Artifact), masked - 9);
    assert_eq!(count(&bench.sheet(3), Class::Artifact), masked);
    let only = ImportChoices {
        frames: Some(1..2),
        ..choices(Class::Ignore)
    };
    assert_eq!(bench.bring("ring.edf", &only).0.replaced, masked);
    assert_eq!(count(&bench.sheet(1), Class::Ignore), masked);
    assert_eq!(count(&bench.sheet(2), Class::Ignore), 0);

    // A mask of DIALS for frames of 6 x 4 (tests/fixtures/io/dials_5.mask: made by cctbx, see src/io/masks/dials.rs).
    let path = bench.at("small.h5");
    let writer = Writer::create(&path, &path).unwrap();
    let cells = [1.0_f32; 24];
    writer
        .array("/entry/data/data", &[1, 4, 6], &cells)
        .unwrap();
    writer.close().unwrap();
    bench.run = open_run(&[path], &OpenOptions::default()).unwrap();
    bench.key = bench.project.add_run(&bench.run.info).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/io/dials_5.mask");
    std::fs::copy(fixture, bench.at("pixels.mask")).unwrap();
    bench.bring("pixels.mask", &choices(Class::Ignore));
    let cells = bench.sheet(0).into_cells();
    let masked: Vec<usize> = (0..24).filter(|at| cells[*at] == 255).collect();
    assert_eq!(masked, [3, 20]);
}

#[test]
fn what_a_person_painted_stays_unless_it_is_said() {
    let all = |_, _, _| Class::Artifact.code();
    let mut bench = Bench::new(|writer| write_map(writer, "/labels", FRAMES, all));
    let (hand, net) = (PixelRect::new(0, 0, 10, 10), PixelRect::new(20, 0, 30, 10));
    for frame in 0..3 {
        bench.paint(frame, net, Class::Peak, "accept net");
        bench.paint(frame, hand, Class::Peak, "brush peak");
    }
    let (key, flag) = (bench.key, Review::Confirmed);
    bench.project.set_review(key, 1, flag).unwrap();
    let reviewed = ImportChoices {
        reviewed: true,
        ..ImportChoices::default()
    };
    let before = [bench.sheet(0), bench.sheet(1)];
    let (tally, said) = bench.bring("run.cxi", &reviewed);
    assert_eq!(tally.conflicts, [(0, 100), (1, SIDE * SIDE), (2, 100)]);
    assert_eq!(tally.replaced, 200);
    assert!(said[0].contains("3 frames and were kept"), "{said:?}");
    assert_eq!(count(&bench.sheet(0), Class::Peak), 100);
    assert_eq!(
        bench.sheet(1),
        before[1],
        "a confirmed frame stays as it is"
    );
    let states = bench.project.review_states(key).unwrap();
    let states: Vec<Review> = states.into_iter().map(|(_, review)| review).collect();
    use Review::{Confirmed, Started};
    assert_eq!(states, [Started, Confirmed, Started, Confirmed]);
    bench.project.undo(key, 0).unwrap();
    assert_eq!(bench.sheet(0), before[0]);

    let replace = ImportChoices {
        on_conflict: OnConflict::Replace,
        ..ImportChoices::default()
    };
    let (tally, said) = bench.bring("run.cxi", &replace);
    assert!(tally.conflict_pixels() > SIDE * SIDE && said[0].contains("gave way"));
    assert_eq!(count(&bench.sheet(1), Class::Artifact), SIDE * SIDE);
    bench.project.undo(key, 1).unwrap();
    assert_eq!(bench.sheet(1), before[1]);
}
