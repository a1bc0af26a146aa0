//! `peaknet import`: a run, and labels made elsewhere, into a project.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::arguments::{self, FrameRange, RunArguments, who};
use super::output::{line, progress, speak};
use super::{Failure, Outcome};
use crate::domain::frame::MaskPolarity;
use crate::domain::incoming::{CodeMap, ImportChoices, OnConflict, Question, Reflections};
use crate::domain::labels::Class;
use crate::io::Run;
use crate::io::import::{self, Labels, Opened, Tally};
use crate::io::masks;
use crate::io::project::pixels::pixels_now;
use crate::io::project::{Mode, Project};

#[derive(Args, Debug)]
pub struct ImportArguments {
    /// The project file; made where there is none
    #[arg(value_name = "PROJECT")]
    project: PathBuf,
    #[command(flatten)]
    run: RunArguments,
    /// Labels of these frames: a set, a CXI class map or peak list, a .stream, a folder of PNG, .npy, or a mask
    /// (FILE:/h5/path names a data set)
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Mark the imported labels as confirmed by a person
    #[arg(long)]
    reviewed: bool,
    /// The frames that the labels are of, in order, where the file does not say it; of a mask or a stream those that are meant
    #[arg(long, value_name = "A..B", value_parser = arguments::frames)]
    frames: Option<FrameRange>,
    /// What the codes of a class map mean, for example 0=background,1=peak,2=ignore,3=ignore (asked where it is not clear)
    #[arg(long, value_name = "CODE=CLASS,...", value_parser = CodeMap::parse)]
    segmask_map: Option<CodeMap>,
    /// Which lists of a .stream are grown to pixels
    #[arg(long, value_enum, default_value = "found")]
    reflections: WhichReflections,
    /// Predicted reflections count whose intensity is above so many of their sigmas
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = arguments::positive)]
    i_over_sigma: f64,
    /// The labels are a mask (of DIALS, pyFAI, Fit2D or any --bad-pixels takes): what its masked pixels become
    #[arg(long, value_enum, value_name = "CLASS")]
    mask_as: Option<MaskClass>,
    /// Which values of that mask are masked: zero or nonzero; found out where it is not said
    #[arg(long, value_name = "WHICH", value_parser = arguments::polarity, default_value = "detected")]
    masked_are: MaskPolarity,
    /// What becomes of pixels that a person painted or confirmed where the labels say something else
    #[arg(long, value_enum, default_value = "keep")]
    on_conflict: ConflictRule,
    /// One JSON value
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhichReflections {
    Found,
    Predicted,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MaskClass {
    Artifact,
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ConflictRule {
    Keep,
    Replace,
}

impl ImportArguments {
    fn choices(&self, run: &Run) -> Result<ImportChoices, Failure> {
        let frames = match self.frames {
            Some(range) => Some(FrameRange::within(Some(range), run.info.frames)?),
            None => None,
        };
        Ok(ImportChoices {
            codes: self.segmask_map.clone(),
            reflections: Some(match self.reflections {
                WhichReflections::Found => Reflections::Found,
                WhichReflections::Predicted => Reflections::Predicted,
                WhichReflections::Both => Reflections::Both,
            }),
            i_over_sigma: self.i_over_sigma as f32,
            mask_as: self.mask_as.map(|class| match class {
                MaskClass::Artifact => Class::Artifact,
                MaskClass::Ignore => Class::Ignore,
            }),
            masked_are: self.masked_are,
            on_conflict: match self.on_conflict {
                ConflictRule::Keep => OnConflict::Keep,
                ConflictRule::Replace => OnConflict::Replace,
            },
            reviewed: self.reviewed,
            frames,
        })
    }
}

pub fn run(arguments: &ImportArguments) -> Outcome {
    let run = arguments.run.open()?;
    let mut choices = arguments.choices(&run)?;
    // The labels are looked at first: a project is not made for a file that cannot be read.
    let labels = match &arguments.labels {
        Some(path) => Some(opened(&run, path, &mut choices)?),
        None => None,
    };
    let mut project = Project::open(&arguments.project, Mode::Write { who: who() })?;
    let key = project.add_run(&run.info)?;
    let (mut tally, mut notices) = (Tally::default(), Vec::new());
    if let Some(labels) = labels {
        let bar = progress(labels.frames.len(), "importing");
        for (place, number) in labels.frames.iter().enumerate() {
            if let Some((incoming, counts)) = labels.read(&run, place)? {
                let brought = import::bring(
                    &mut project,
                    key,
                    *number,
                    &incoming,
                    &labels.tool,
                    &choices,
                    &who(),
                )?;
                if brought.lacks_pixels
                    && let Ok(frame) = run.read_frame(*number)
                {
                    let pixels = pixels_now(&frame, &run.info.source);
                    project.store_pixels(key, *number, &pixels)?;
                }
                tally.add(*number, brought, counts);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        notices = labels.notices;
        notices.extend(tally.sentences(choices.on_conflict));
    }
    for notice in &notices {
        speak(notice);
    }
    if arguments.json {
        let conflicts: Vec<_> = (tally.conflicts.iter())
            .map(|(frame, pixels)| json!({ "frame": frame, "pixels": pixels }))
            .collect();
        return line(json!({
            "project": arguments.project,
            "run": run.info.name,
            "frames": run.info.frames,
            "labelled": tally.frames,
            "changed": tally.changed,
            "conflicts": conflicts,
            "conflict_pixels": tally.conflict_pixels(),
            "on_conflict": match choices.on_conflict {
                OnConflict::Keep => "keep",
                OnConflict::Replace => "replace",
            },
            "replaced_pixels": tally.replaced,
            "peaks_listed": tally.listed,
            "peaks_grown": tally.grown,
            "notices": notices,
        }));
    }
    line(format_args!(
        "{}: {} frames, {} with labels brought in: {}",
        run.info.name,
        run.info.frames,
        tally.frames,
        arguments.project.display()
    ))
}

/// Opens the labels, asking at the terminal what has to be known.
fn opened(run: &Run, path: &Path, choices: &mut ImportChoices) -> Result<Labels, Failure> {
    if !masks::parted(path).0.exists() {
        return Err(Failure::could_not(format!(
            "no such file of labels; check the name: {}",
            path.display()
        )));
    }
    loop {
        let question = match import::open(run, path, choices)? {
            Opened::Ready(labels) => return Ok(*labels),
            Opened::Ask(question) => question,
        };
        let (what, option) = match &question {
            Question::Codes(codes) => {
                let codes: Vec<String> = codes.iter().map(u8::to_string).collect();
                (
                    format!(
                        "the class map has the codes {}, and nothing says what they mean (in the lab's labeller 2 is \
                         \"do not predict\" and 3 a bad pixel)",
                        codes.join(", ")
                    ),
                    "--segmask-map 0=background,1=peak,2=ignore,3=ignore",
                )
            }
            Question::Mask => (
                "this is a mask".to_owned(),
                "--mask-as artifact or --mask-as ignore",
            ),
            Question::Reflections => (
                "the stream has found peaks and predicted reflections".to_owned(),
                "--reflections found or --reflections predicted",
            ),
        };
        let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let own = CodeMap::own();
        if let (Question::Codes(codes), false) = (&question, asks)
            && codes.iter().all(|code| own.class_of(*code).is_some())
        {
            // Nobody can be asked, and the codes may well be this program's.
            speak(&format!(
                "{what}: taken as {}; if that is not meant, say it with --segmask-map: {}",
                own.text(),
                path.display()
            ));
            choices.codes = Some(own);
            continue;
        }
        if !asks {
            return Err(Failure::could_not(format!(
                "{what}; say it with {option}: {}",
                path.display()
            )));
        }
        answer(&question, &what, choices)?;
    }
}

/// Asks one question at the terminal.
fn answer(question: &Question, what: &str, choices: &mut ImportChoices) -> Outcome {
    let form = match question {
        Question::Codes(_) => "CODE=CLASS,... with background, peak, artifact, ignore",
        Question::Mask => "artifact or ignore",
        Question::Reflections => "found, predicted or both",
    };
    speak(&format!("{what}. What is meant? Write {form}:"));
    let mut text = String::new();
    if std::io::stdin().lock().read_line(&mut text)? == 0 {
        return Err(Failure::could_not(format!("nothing was answered; {form}")));
    }
    let text = text.trim();
    let wrong = || Failure::could_not(format!("{text:?} is no answer; write {form}"));
    match question {
        Question::Codes(_) => {
            choices.codes = Some(CodeMap::parse(text).map_err(Failure::could_not)?)
        }
        Question::Mask => {
            let class = MaskClass::from_str(text, true).map_err(|_| wrong())?;
            choices.mask_as = Some(match class {
                MaskClass::Artifact => Class::Artifact,
                MaskClass::Ignore => Class::Ignore,
            });
        }
        Question::Reflections => {
            let which = WhichReflections::from_str(text, true).map_err(|_| wrong())?;
            choices.reflections = Some(match which {
                WhichReflections::Found => Reflections::Found,
                WhichReflections::Predicted => Reflections::Predicted,
                WhichReflections::Both => Reflections::Both,
            });
        }
    }
    Ok(())
}
