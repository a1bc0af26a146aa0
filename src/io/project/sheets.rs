//! A sheet on disk: tiles, each compressed with its digest, so that a stroke rewrites only what it touches.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{OptionalExtension, Transaction, named_params, params};
use sha2::{Digest, Sha256};

use super::runs::{self, RunKey};
use super::{Doing, Error, now};
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::{Edit, Sheet};

/// Side of a square tile in pixels; the ones at the right and lower border are cut.
const TILE: usize = 256;
const LEVEL: i32 = 1;

pub type Digest32 = [u8; 32];

/// The row of a sheet.
#[derive(Clone, Debug)]
pub struct SheetRow {
    pub id: i64,
    pub frame: usize,
    pub width: usize,
    pub height: usize,
    pub tile: usize,
    pub digest: Digest32,
    pub done: usize,
}

pub fn compress(cells: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    zstd::bulk::compress(cells, LEVEL)
}

pub fn decompress(bytes: &[u8], cells: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(bytes, cells)
        .ok()
        .filter(|found| found.len() == cells)
}

impl SheetRow {
    pub fn find(
        transaction: &Transaction<'_>,
        run: RunKey,
        frame: usize,
        path: &Path,
    ) -> Result<Option<Self>, Error> {
        let found = transaction
            .query_row(
                "SELECT sheet, width, height, tile, digest, done FROM sheets WHERE run = ?1 AND frame = ?2",
                params![run.0, frame],
                |row| {
                    Ok(Self {
                        id: row.get(0)?,
                        frame,
                        width: row.get(1)?,
                        height: row.get(2)?,
                        tile: row.get(3)?,
                        digest: row.get(4)?,
                        done: row.get(5)?,
                    })
                },
            )
            .optional()
            .doing("read the labels", path)?;
        // A damaged number must not become a huge allocation.
        if let Some(row) = &found
            && ((row.width, row.height) != runs::shape(transaction, run, path)?
                || !(16..=4096).contains(&row.tile))
        {
            return Err(row.damaged("its size is not that of the run", path));
        }
        Ok(found)
    }

    /// The row of a frame, made blank when there is none.
    pub fn find_or_make(
        transaction: &Transaction<'_>,
        run: RunKey,
        frame: usize,
        path: &Path,
    ) -> Result<Self, Error> {
        if let Some(row) = Self::find(transaction, run, frame, path)? {
            return Ok(row);
        }
        let (width, height) = runs::shape(transaction, run, path)?;
        let mut row = Self {
            id: 0,
            frame,
            width,
            height,
            tile: TILE,
            digest: [0; 32],
            done: 0,
        };
        row.digest = row.digest_of(&BTreeMap::new());
        transaction
            .execute(
                "INSERT INTO sheets (run, frame, width, height, tile, digest, done, base, updated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 'blank', ?7)",
                params![run.0, frame, width, height, TILE, row.digest, now()],
            )
            .doing("store the labels", path)?;
        row.id = transaction.last_insert_rowid();
        Ok(row)
    }

    pub const fn rect(&self) -> PixelRect {
        PixelRect::new(0, 0, self.width, self.height)
    }

    fn damaged(&self, what: impl Into<String>, path: &Path) -> Error {
        Error::Damaged {
            frame: self.frame,
            what: what.into(),
            path: path.to_owned(),
        }
    }

    fn across(&self) -> usize {
        self.width.div_ceil(self.tile.max(1))
    }

    fn rect_of(&self, tile: usize) -> PixelRect {
        let across = self.across().max(1);
        let (x, y) = (tile % across * self.tile, tile / across * self.tile);
        PixelRect::new(x, y, x + self.tile, y + self.tile).intersect(&PixelRect::new(
            0,
            0,
            self.width,
            self.height,
        ))
    }

    /// The tiles that a rectangle within the sheet covers.
    fn tiles_of(&self, rect: PixelRect) -> impl Iterator<Item = usize> + use<> {
        let (side, across) = (self.tile.max(1), self.across());
        let columns = rect.x0 / side..rect.x1.div_ceil(side);
        (rect.y0 / side..rect.y1.div_ceil(side))
            .flat_map(move |row| columns.clone().map(move |column| row * across + column))
    }

    /// The digest of the whole sheet: over its shape and the digests of its tiles that are not blank, in order.
    fn digest_of(&self, tiles: &BTreeMap<usize, Digest32>) -> Digest32 {
        let mut digest = Sha256::new();
        for number in [self.width, self.height, self.tile] {
            digest.update((number as u64).to_le_bytes());
        }
        for (tile, tile_digest) in tiles {
            digest.update((*tile as u64).to_le_bytes());
            digest.update(tile_digest);
        }
        digest.finalize().into()
    }

    /// The digest that a sheet would have, computed from its cells.
    pub fn digest_of_cells(&self, sheet: &Sheet) -> Digest32 {
        let tiles = self
            .tiles_of(self.rect())
            .filter_map(|tile| {
                let cells = sheet.copy_rect(self.rect_of(tile));
                digest_unless_blank(&cells).map(|digest| (tile, digest))
            })
            .collect();
        self.digest_of(&tiles)
    }

    fn tile_digests(
        &self,
        transaction: &Transaction<'_>,
        path: &Path,
    ) -> Result<BTreeMap<usize, Digest32>, Error> {
        let list = || {
            let mut statement =
                transaction.prepare_cached("SELECT tile, digest FROM tiles WHERE sheet = ?1")?;
            let rows = statement.query_map([self.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<BTreeMap<_, _>>>()
        };
        list().doing("read the labels", path)
    }

    /// The cells of a tile, checked against its digest.
    fn unpack(&self, tile: usize, digest: &Digest32, codes: &[u8]) -> Option<Vec<u8>> {
        decompress(codes, self.rect_of(tile).area())
            .filter(|cells| Digest32::from(Sha256::digest(cells)) == *digest)
    }

    fn read_tile(
        &self,
        transaction: &Transaction<'_>,
        tile: usize,
        path: &Path,
    ) -> Result<Vec<u8>, Error> {
        let found: Option<(Digest32, Vec<u8>)> = transaction
            .prepare_cached("SELECT digest, codes FROM tiles WHERE sheet = ?1 AND tile = ?2")
            .and_then(|mut statement| {
                statement
                    .query_row(params![self.id, tile], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .doing("read the labels", path)?;
        let Some((digest, codes)) = found else {
            return Ok(vec![0; self.rect_of(tile).area()]);
        };
        self.unpack(tile, &digest, &codes)
            .ok_or_else(|| self.damaged(self.where_is(tile), path))
    }

    fn where_is(&self, tile: usize) -> String {
        let rect = self.rect_of(tile);
        format!(
            "the digest of x {}..{}, y {}..{} does not fit",
            rect.x0, rect.x1, rect.y0, rect.y1
        )
    }

    fn write_tile(
        &self,
        transaction: &Transaction<'_>,
        tile: usize,
        cells: &[u8],
        path: &Path,
    ) -> Result<Option<Digest32>, Error> {
        let digest = digest_unless_blank(cells);
        let done = match &digest {
            Some(digest) => {
                let codes = compress(cells).map_err(|source| Error::File {
                    doing: "compress the labels",
                    source,
                    path: path.to_owned(),
                })?;
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO tiles VALUES (?1, ?2, ?3, ?4)")
                    .and_then(|mut s| s.execute(params![self.id, tile, digest, codes]))
            }
            None => transaction
                .prepare_cached("DELETE FROM tiles WHERE sheet = ?1 AND tile = ?2")
                .and_then(|mut s| s.execute(params![self.id, tile])),
        };
        done.doing("store the labels", path)?;
        Ok(digest)
    }

    /// Changes `rect` from `before` to `after` on disk, when `before` is what stands there.
    ///
    /// The sheet in the project is the truth: a program that painted on something else (an old copy, a blank sheet
    /// before the labels had arrived) is refused and overwrites nothing.
    pub fn change(
        &mut self,
        transaction: &Transaction<'_>,
        rect: PixelRect,
        before: &[u8],
        after: &[u8],
        path: &Path,
    ) -> Result<(), Error> {
        if rect != rect.intersect(&self.rect())
            || before.len() != rect.area()
            || after.len() != rect.area()
        {
            return Err(Error::Unfit {
                what: format!(
                    "an edit of {} x {} pixels at {}, {} in frames of {} x {}",
                    rect.width(),
                    rect.height(),
                    rect.x0,
                    rect.y0,
                    self.width,
                    self.height
                ),
                path: path.to_owned(),
            });
        }
        let mut digests = self.tile_digests(transaction, path)?;
        if self.digest_of(&digests) != self.digest {
            return Err(self.damaged("the digest of the sheet does not fit", path));
        }
        for tile in self.tiles_of(rect) {
            let tile_rect = self.rect_of(tile);
            let part = rect.intersect(&tile_rect);
            // Rows of the part, as a range of the edit's cells and one of the tile's.
            let rows = (part.y0..part.y1).map(|y| {
                let edit = (y - rect.y0) * rect.width() + part.x0 - rect.x0;
                let here = (y - tile_rect.y0) * tile_rect.width() + part.x0 - tile_rect.x0;
                (edit..edit + part.width(), here..here + part.width())
            });
            // A long thin stroke touches few of the tiles that its rectangle covers.
            if rows
                .clone()
                .all(|(edit, _)| before.get(edit.clone()) == after.get(edit))
            {
                continue;
            }
            let mut cells = self.read_tile(transaction, tile, path)?;
            for (edit, here) in rows {
                let stands = cells.get_mut(here);
                let (Some(stands), Some(before), Some(after)) =
                    (stands, before.get(edit.clone()), after.get(edit))
                else {
                    continue;
                };
                if stands != before {
                    return Err(Error::Diverged {
                        frame: self.frame,
                        what: "other labels stand there",
                        path: path.to_owned(),
                    });
                }
                stands.copy_from_slice(after);
            }
            match self.write_tile(transaction, tile, &cells, path)? {
                Some(digest) => digests.insert(tile, digest),
                None => digests.remove(&tile),
            };
        }
        self.digest = self.digest_of(&digests);
        Ok(())
    }

    /// Writes the row after a change.
    pub fn update(&self, transaction: &Transaction<'_>, path: &Path) -> Result<(), Error> {
        transaction
            .prepare_cached(
                "UPDATE sheets SET digest = :digest, done = :done, updated = :now WHERE sheet = :sheet",
            )
            .and_then(|mut statement| {
                statement.execute(named_params! {
                    ":digest": self.digest, ":done": self.done, ":now": now(), ":sheet": self.id,
                })
            })
            .doing("store the labels", path)?;
        Ok(())
    }

    /// The whole sheet, checked against every digest.
    pub fn read(&self, transaction: &Transaction<'_>, path: &Path) -> Result<Sheet, Error> {
        let mut sheet = Grid::filled(self.width, self.height, 0);
        let list = || {
            let mut statement = transaction
                .prepare("SELECT tile, digest, codes FROM tiles WHERE sheet = ?1 ORDER BY tile")?;
            let rows = statement
                .query_map([self.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<Result<Vec<(usize, Digest32, Vec<u8>)>, _>>()
        };
        let tiles = list().doing("read the labels", path)?;
        let digests = tiles
            .iter()
            .map(|(tile, digest, _)| (*tile, *digest))
            .collect();
        for (tile, digest, codes) in &tiles {
            let cells = self
                .unpack(*tile, digest, codes)
                .ok_or_else(|| self.damaged(self.where_is(*tile), path))?;
            sheet.paste_rect(self.rect_of(*tile), &cells);
        }
        if self.digest_of(&digests) != self.digest {
            return Err(self.damaged("the digest of the sheet does not fit", path));
        }
        Ok(sheet)
    }

    /// Writes every tile anew.
    pub fn rewrite(
        &self,
        transaction: &Transaction<'_>,
        sheet: &Sheet,
        path: &Path,
    ) -> Result<(), Error> {
        transaction
            .execute("DELETE FROM tiles WHERE sheet = ?1", [self.id])
            .doing("store the labels", path)?;
        for tile in self.tiles_of(self.rect()) {
            self.write_tile(
                transaction,
                tile,
                &sheet.copy_rect(self.rect_of(tile)),
                path,
            )?;
        }
        Ok(())
    }
}

fn digest_unless_blank(cells: &[u8]) -> Option<Digest32> {
    cells
        .iter()
        .any(|code| *code != 0)
        .then(|| Sha256::digest(cells).into())
}

/// The digest of an edit's content, which tells a damaged one.
pub fn digest_of_edit(edit: &Edit) -> Digest32 {
    let mut digest = Sha256::new();
    for number in [edit.rect.x0, edit.rect.y0, edit.rect.x1, edit.rect.y1] {
        digest.update((number as u64).to_le_bytes());
    }
    digest.update((edit.tool.len() as u64).to_le_bytes());
    digest.update(edit.tool.as_bytes());
    digest.update(edit.before.to_vec());
    digest.update(edit.after.to_vec());
    digest.finalize().into()
}
