//! What nets said of frames, in numbers: for ranking and the frame table. The maps are made again on demand.

use rusqlite::{named_params, params};

use super::runs::RunKey;
use super::{Doing, Error, Project, now};

/// One net's prediction of one frame in three numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictionSummary {
    pub frame: usize,
    /// Digest of the net.
    pub net: String,
    pub peaks: usize,
    /// Mean uncertainty over pixels that are not plainly background; larger = more worth a look.
    pub doubt: f32,
    /// Share of the valid pixels that are artifact.
    pub artifact_fraction: f32,
}

impl Project {
    /// Keeps summaries, one transaction for all; those of the same frame and net are replaced.
    pub fn store_predictions(
        &mut self,
        run: RunKey,
        summaries: &[PredictionSummary],
    ) -> Result<(), Error> {
        self.write("store the prediction", |transaction, path| {
            let store = || {
                let mut statement = transaction.prepare_cached(
                    "INSERT OR REPLACE INTO predictions
                     VALUES (:run, :frame, :net, :peaks, :doubt, :artifact_fraction, :time)",
                )?;
                for summary in summaries {
                    statement.execute(named_params! {
                        ":run": run.0, ":frame": summary.frame, ":net": summary.net, ":peaks": summary.peaks,
                        ":doubt": summary.doubt, ":artifact_fraction": summary.artifact_fraction, ":time": now(),
                    })?;
                }
                Ok(())
            };
            store().doing("store the prediction", path)
        })
    }

    /// As [`Project::store_predictions`] for one frame.
    pub fn store_prediction_summary(
        &mut self,
        run: RunKey,
        summary: &PredictionSummary,
    ) -> Result<(), Error> {
        self.store_predictions(run, std::slice::from_ref(summary))
    }

    /// The summaries of a run by frame: those of one net, or of each frame's newest when `net` is `None`.
    pub fn predictions(
        &self,
        run: RunKey,
        net: Option<&str>,
    ) -> Result<Vec<PredictionSummary>, Error> {
        let list = || {
            let mut statement = self.database.prepare(
                "SELECT frame, net, peaks, doubt, artifact_fraction FROM predictions AS p
                 WHERE run = ?1 AND (net = ?2 OR ?2 IS NULL AND time =
                     (SELECT max(time) FROM predictions AS q WHERE q.run = p.run AND q.frame = p.frame))
                 GROUP BY frame ORDER BY frame",
            )?;
            let rows = statement.query_map(params![run.0, net], |row| {
                Ok(PredictionSummary {
                    frame: row.get(0)?,
                    net: row.get(1)?,
                    peaks: row.get(2)?,
                    doubt: row.get(3)?,
                    artifact_fraction: row.get(4)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().doing("read the predictions", &self.path)
    }

    /// Remembers the name of a net whose digest stands in edits and predictions.
    pub fn record_net(&mut self, digest: &str, name: &str) -> Result<(), Error> {
        self.write("store the net", |transaction, path| {
            transaction
                .execute(
                    "INSERT INTO nets VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO UPDATE SET name = ?2",
                    params![digest, name, now()],
                )
                .doing("store the net", path)?;
            Ok(())
        })
    }

    /// (digest, name) of the nets that were used, in the order of their first use.
    pub fn nets(&self) -> Result<Vec<(String, String)>, Error> {
        let list = || {
            let mut statement = self
                .database
                .prepare("SELECT digest, name FROM nets ORDER BY first_used")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().doing("read the nets", &self.path)
    }
}
