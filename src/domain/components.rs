//! Connected components of one class: 8-neighbours, one pass over the class map.

use std::collections::BTreeMap;

use super::grid::{Grid, Pixel, PixelRect};

/// Cells of one row that follow each other: `x0 <= x < x1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub y: usize,
    pub x0: usize,
    pub x1: usize,
}

/// Cells of one class that touch by a side or a corner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// In raster order; they neither overlap nor touch within a row.
    pub spans: Vec<Span>,
    /// The smallest rectangle that covers all cells.
    pub rect: PixelRect,
    /// How many cells it has.
    pub count: usize,
}

impl Component {
    /// The cells in raster order.
    pub fn pixels(&self) -> impl Iterator<Item = Pixel> + '_ {
        self.spans
            .iter()
            .flat_map(|span| (span.x0..span.x1).map(|x| Pixel { x, y: span.y }))
    }
}

/// The 8-connected components of `class`, in raster order of their first cell.
///
/// One pass over the map: spans of a row are joined with the touching spans of the row above in a union-find
/// forest whose roots are always the earliest span. Rows without the class cost a comparison per cell.
pub fn components(map: &Grid<u8>, class: u8) -> Vec<Component> {
    let mut spans: Vec<Span> = Vec::new();
    let mut parent: Vec<usize> = Vec::new();
    // Spans of the row above: spans[above..here].
    let (mut above, mut here) = (0, 0);
    for y in 0..map.height() {
        find_spans(map.row(y), class, |x0, x1| {
            spans.push(Span { y, x0, x1 });
            parent.push(parent.len());
        });
        let mut candidate = above;
        for index in here..spans.len() {
            let Some(&span) = spans.get(index) else { break };
            // A span above that ends before this one's left diagonal can touch no later span either.
            while candidate < here && spans.get(candidate).is_some_and(|up| up.x1 < span.x0) {
                candidate += 1;
            }
            let mut other = candidate;
            while other < here && spans.get(other).is_some_and(|up| up.x0 <= span.x1) {
                unite(&mut parent, index, other);
                other += 1;
            }
        }
        above = here;
        here = spans.len();
    }
    collect(&spans, &mut parent)
}

fn find_spans(row: &[u8], class: u8, mut found: impl FnMut(usize, usize)) {
    const BLOCK: usize = 64;
    let mut start = None;
    for (block, cells) in row.chunks(BLOCK).enumerate() {
        // Most blocks of a class map hold none of it; this test is one vector comparison.
        if start.is_none() && !cells.iter().fold(false, |any, cell| any | (*cell == class)) {
            continue;
        }
        for (offset, cell) in cells.iter().enumerate() {
            let x = block * BLOCK + offset;
            match (start, *cell == class) {
                (None, true) => start = Some(x),
                (Some(x0), false) => {
                    found(x0, x);
                    start = None;
                }
                _ => {}
            }
        }
    }
    if let Some(x0) = start {
        found(x0, row.len());
    }
}

fn root(parent: &mut [usize], mut index: usize) -> usize {
    while let Some(&up) = parent.get(index) {
        if up == index {
            break;
        }
        let grand = parent.get(up).copied().unwrap_or(up);
        if let Some(slot) = parent.get_mut(index) {
            *slot = grand;
        }
        index = grand;
    }
    index
}

fn unite(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    let (low, high) = (a.min(b), a.max(b));
    if let Some(slot) = parent.get_mut(high) {
        *slot = low;
    }
}

fn collect(spans: &[Span], parent: &mut [usize]) -> Vec<Component> {
    let mut found: Vec<Component> = Vec::new();
    // Of a root span: its place in `found`. Roots come before their children, so it is known in time.
    let mut place = vec![0; spans.len()];
    for (index, span) in spans.iter().enumerate() {
        let root = root(parent, index);
        let rect = PixelRect::new(span.x0, span.y, span.x1, span.y + 1);
        if root == index {
            if let Some(slot) = place.get_mut(index) {
                *slot = found.len();
            }
            found.push(Component {
                spans: vec![*span],
                rect,
                count: rect.area(),
            });
        } else if let Some(component) = place.get(root).and_then(|i| found.get_mut(*i)) {
            component.spans.push(*span);
            component.rect = component.rect.union(&rect);
            component.count += rect.area();
        }
    }
    found
}

/// The cells of the connected component (8 neighbours) of equal class that covers a cell; `None` outside the map.
pub fn component_at(map: &Grid<u8>, at: Pixel) -> Option<Vec<(usize, usize)>> {
    let class = *map.get(at.x, at.y)?;
    let mut seen = Grid::filled(map.width(), map.height(), false);
    let mut cells = vec![(at.x, at.y)];
    *seen.get_mut(at.x, at.y)? = true;
    let mut next = 0;
    while let Some(&(x, y)) = cells.get(next) {
        next += 1;
        for ny in y.saturating_sub(1)..(y + 2).min(map.height()) {
            for nx in x.saturating_sub(1)..(x + 2).min(map.width()) {
                if map.get(nx, ny) == Some(&class)
                    && let Some(seen) = seen.get_mut(nx, ny)
                    && !*seen
                {
                    *seen = true;
                    cells.push((nx, ny));
                }
            }
        }
    }
    Some(cells)
}

/// The same as a component; `None` outside the map, or where it has more than `most` cells.
///
/// Takes time and memory by its own size alone, so that it can be asked whenever the pointer moves.
pub fn component_around(map: &Grid<u8>, at: Pixel, most: usize) -> Option<Component> {
    let class = *map.get(at.x, at.y)?;
    let mut rows: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    let mut waiting = vec![at];
    let mut count = 0;
    while let Some(Pixel { x, y }) = waiting.pop() {
        let found = rows.entry(y).or_default();
        if found.iter().any(|(x0, x1)| (*x0..*x1).contains(&x)) {
            continue;
        }
        let row = map.row(y);
        let is_other = |code: &u8| *code != class;
        let before = row.get(..x).unwrap_or_default();
        let x0 = before.iter().rposition(is_other).map_or(0, |i| i + 1);
        let after = row.get(x..).unwrap_or_default();
        let x1 = after.iter().position(is_other).map_or(row.len(), |i| x + i);
        found.push((x0, x1));
        count += x1 - x0;
        if count > most {
            return None;
        }
        let beside = x0.saturating_sub(1)..(x1 + 1).min(row.len());
        for y in [y.checked_sub(1), Some(y + 1)].into_iter().flatten() {
            // One start a stretch is enough.
            let mut is_inside = false;
            let cells = map.row(y).get(beside.clone()).unwrap_or_default();
            for (x, code) in beside.clone().zip(cells) {
                let is_class = *code == class;
                if is_class && !is_inside {
                    waiting.push(Pixel { x, y });
                }
                is_inside = is_class;
            }
        }
    }
    let mut component = Component {
        spans: Vec::new(),
        rect: PixelRect::of(at),
        count,
    };
    for (y, mut spans) in rows {
        spans.sort_unstable();
        for (x0, x1) in spans {
            let rect = PixelRect::new(x0, y, x1, y + 1);
            component.rect = component.rect.union(&rect);
            component.spans.push(Span { y, x0, x1 });
        }
    }
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(picture: &[&str], expected: &[usize]) {
        let (width, height) = (picture[0].len(), picture.len());
        let map = Grid::from_fn(width, height, |x, y| {
            u8::from(picture[y].as_bytes()[x] == b'#')
        });
        let found = components(&map, 1);
        let counts: Vec<usize> = found.iter().map(|c| c.count).collect();
        assert_eq!(counts, expected, "{picture:?}");
        for component in &found {
            assert_eq!(component.pixels().count(), component.count);
            assert!(component.pixels().all(|p| component.rect.contains(p)));
            for pixel in component.pixels() {
                let around = component_around(&map, pixel, component.count);
                assert_eq!(around.as_ref(), Some(component), "{picture:?}");
                assert_eq!(component_around(&map, pixel, component.count - 1), None);
            }
        }
        assert_eq!(component_around(&map, Pixel { x: width, y: 0 }, 9), None);
    }

    #[test]
    fn shapes() {
        check(&["....", "...."], &[]);
        check(&["#..#", ".##."], &[4]);
        check(&["#.#.#", "....#", "#.#.."], &[1, 1, 2, 1, 1]);
        check(&["#...#", "#...#", "#####"], &[9]);
        check(&["###", "#.#", "###"], &[8]);
        check(&["#.#.#.#", ".#.#.#.", "......."], &[7]);
        check(&["..#", ".#.", "#.."], &[3]);
    }

    #[test]
    fn a_large_sparse_map_is_fast() {
        let map = Grid::from_fn(4096, 4096, |x, y| u8::from(x % 61 == 3 && y % 67 < 3));
        let start = std::time::Instant::now();
        let found = components(&map, 1);
        assert_eq!(found.len(), 68 * 62);
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }
}
