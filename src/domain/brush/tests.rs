//! Every shape against its definition, cell by cell.

use super::shape::THIN_PX;
use super::*;
use proptest::prelude::*;

const WIDTH: usize = 37;
const HEIGHT: usize = 29;

/// A sheet of patches of every class, and mask bits with some bad pixels.
fn patches(seed: u64) -> (Sheet, Grid<u16>) {
    let mix = |x: usize, y: usize| (x as u64 * 31 + y as u64 * 17 + seed) ^ (seed >> 7);
    let sheet = Grid::from_fn(WIDTH, HEIGHT, |x, y| {
        Class::ALL[(mix(x / 5, y / 4) % 4) as usize].code()
    });
    let bad = Grid::from_fn(WIDTH, HEIGHT, |x, y| match mix(x, y) % 13 {
        0 => bad::HOT,
        1 => bad::SATURATED,
        _ => 0,
    });
    (sheet, bad)
}

/// What `paint` did is what `inside` says, and the returned rectangle is the smallest around the changes.
fn check(
    seed: u64,
    ink: Ink,
    paint: impl FnOnce(&mut Sheet, &Grid<u16>) -> PixelRect,
    inside: impl Fn(f64, f64) -> Option<bool>,
) -> Result<(), TestCaseError> {
    let (before, bad) = patches(seed);
    let mut after = before.clone();
    let touched = paint(&mut after, &bad);
    let mut changed = NOTHING;
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (old, new) = (before.get(x, y), after.get(x, y));
            if old != new {
                changed = changed.union(&PixelRect::of(Pixel { x, y }));
            }
            let Some(inside) = inside(x as f64 + 0.5, y as f64 + 0.5) else {
                continue; // Too near to the border to say.
            };
            let code = *old.expect("within");
            let valid = bad.get(x, y).is_some_and(|b| b & bad::NOT_VALID == 0);
            let may = valid || ink.class == Class::Background;
            let over = match ink.over {
                Over::Everything => true,
                Over::Only(class) => Class::from_code(code) == Some(class),
                Over::Except(class) => Class::from_code(code) != Some(class),
                Over::Unprotected(spared) => {
                    !Class::from_code(code).is_some_and(|class| spared.contains(class))
                }
            };
            let expected = if inside && may && over {
                ink.class.code()
            } else {
                code
            };
            prop_assert_eq!(*new.expect("within"), expected, "at {}, {}", x, y);
        }
    }
    prop_assert_eq!(touched, changed);
    Ok(())
}

fn ink() -> impl Strategy<Value = Ink> {
    let class = || prop::sample::select(Class::ALL.to_vec());
    let over = prop_oneof![
        Just(Over::Everything),
        class().prop_map(Over::Only),
        class().prop_map(Over::Except),
        prop::collection::vec(class(), 0..4).prop_map(|classes| {
            let all = classes.into_iter();
            Over::Unprotected(all.fold(ClassSet::default(), ClassSet::toggled))
        }),
    ];
    (class(), over).prop_map(|(class, over)| Ink { class, over })
}

fn point() -> impl Strategy<Value = (f32, f32)> {
    (-15.0..52.0_f32, -15.0..44.0_f32)
}

fn distance(p: (f64, f64), a: (f32, f32), b: (f32, f32)) -> f64 {
    let (ax, ay) = (f64::from(a.0), f64::from(a.1));
    let (dx, dy) = (f64::from(b.0) - ax, f64::from(b.1) - ay);
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 {
        (((p.0 - ax) * dx + (p.1 - ay) * dy) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (p.0 - ax - t * dx).hypot(p.1 - ay - t * dy)
}

proptest! {
    #[test]
    fn strokes_cover_what_is_near_the_line(
        seed: u64, ink in ink(), a in point(), b in point(), diameter in THIN_PX..40.0, dab: bool,
    ) {
        let b = if dab { a } else { b };
        check(
            seed,
            ink,
            |sheet, bad| stroke(sheet, bad, a, b, diameter, ink),
            |x, y| {
                let beyond = distance((x, y), a, b) - f64::from(diameter) / 2.0;
                (beyond.abs() > 1e-6).then_some(beyond < 0.0)
            },
        )?;
    }

    #[test]
    fn polygons_cover_what_is_inside(
        seed: u64, ink in ink(), corners in prop::collection::vec(point(), 3..9),
    ) {
        check(
            seed,
            ink,
            |sheet, bad| polygon(sheet, bad, &corners, ink),
            |x, y| {
                let sides = || (0..corners.len()).map(|i| (corners[i], corners[(i + 1) % corners.len()]));
                if sides().any(|(a, b)| distance((x, y), a, b) < 1e-4) {
                    return None;
                }
                // The winding angle's parity, by counting sides that a ray downwards meets.
                let crossed = sides().filter(|(a, b)| {
                    let (ax, ay, bx, by) = (f64::from(a.0), f64::from(a.1), f64::from(b.0), f64::from(b.1));
                    (ax <= x) != (bx <= x) && ay + (x - ax) / (bx - ax) * (by - ay) > y
                });
                Some(crossed.count() % 2 == 1)
            },
        )?;
    }

    #[test]
    fn thin_lines_have_no_gaps(a in point(), b in point(), diameter in 0.0..THIN_PX) {
        let mut sheet = Sheet::filled(WIDTH, HEIGHT, 0);
        let bad = Grid::filled(WIDTH, HEIGHT, 0);
        let ink = Paint { class: Class::Peak, only_background: false };
        stroke(&mut sheet, &bad, a, b, diameter, ink);
        let painted: Vec<(usize, usize)> = (0..HEIGHT)
            .flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
            .filter(|(x, y)| sheet.get(*x, *y) == Some(&1))
            .collect();
        for (x, y) in &painted {
            prop_assert!(distance((*x as f64 + 0.5, *y as f64 + 0.5), a, b) < 1.1);
        }
        let inside = |p: (f32, f32)| p.0 >= 0.0 && p.1 >= 0.0 && p.0 < WIDTH as f32 && p.1 < HEIGHT as f32;
        if inside(a) && inside(b) {
            prop_assert_eq!(sheet.get(a.0 as usize, a.1 as usize), Some(&1));
            // One fill takes the whole line away: it is connected.
            let at = Pixel { x: a.0 as usize, y: a.1 as usize };
            fill(&mut sheet, &bad, at, Class::Background);
            prop_assert!(sheet.cells().iter().all(|code| *code == 0));
        }
    }

    #[test]
    fn fills_take_the_connected_region(seed: u64, x in 0..WIDTH, y in 0..HEIGHT, ink in ink()) {
        let (before, bad) = patches(seed);
        let old = *before.get(x, y).expect("within");
        let mut region = Grid::filled(WIDTH, HEIGHT, false);
        let open = |x: usize, y: usize| before.get(x, y) == Some(&old) && may_carry(bad.get(x, y), ink.class);
        if let Some(cell) = region.get_mut(x, y) {
            *cell = open(x, y);
        }
        loop {
            let last = region.clone();
            for y in 0..HEIGHT {
                for x in 0..WIDTH {
                    let near = (-1..=1_isize).any(|j| (-1..=1_isize).any(|i| {
                        let corner = i != 0 && j != 0;
                        let (Some(x), Some(y)) = (x.checked_add_signed(i), y.checked_add_signed(j)) else {
                            return false;
                        };
                        (old != 0 || !corner) && last.get(x, y) == Some(&true)
                    }));
                    if near && open(x, y) && let Some(cell) = region.get_mut(x, y) {
                        *cell = true;
                    }
                }
            }
            if region == last {
                break;
            }
        }
        let everything = Ink { class: ink.class, over: Over::Everything };
        let new = ink.class.code();
        check(
            seed,
            everything,
            |sheet, bad| fill(sheet, bad, Pixel { x, y }, ink.class),
            |x, y| Some(old != new && region.get(x as usize, y as usize) == Some(&true)),
        )?;
    }

    #[test]
    fn regions_follow_their_rule(seed: u64, ink in ink(), a in 0..30_usize, b in 0..30_usize, r in 0.0..30.0) {
        let ring = |x: f64, y: f64| (x - 20.0).hypot(y - 10.0) < r;
        let rect = PixelRect::new(a, b, a + 20, b + 9);
        let within = move |x: f64, y: f64| rect.contains(Pixel { x: x as usize, y: y as usize });
        let centre = |p: Pixel| (p.x as f64 + 0.5, p.y as f64 + 0.5);
        let inside = |p: Pixel| { let (x, y) = centre(p); ring(x, y) };
        check(seed, ink, |s, bad| region(s, bad, rect, inside, ink), |x, y| Some(within(x, y) && ring(x, y)))?;
        check(seed, ink, |s, bad| rectangle(s, bad, rect, ink), |x, y| Some(within(x, y)))?;
    }
}

#[test]
fn wild_positions_paint_nothing_and_do_not_hang() {
    let (mut sheet, bad) = patches(3);
    let before = sheet.clone();
    for wild in [f32::NAN, f32::INFINITY, -1e30, 1e30] {
        for diameter in [0.0, 1.0, 9.0, f32::NAN] {
            let ink = Ink::eraser(None);
            let touched = stroke(&mut sheet, &bad, (wild, wild), (wild, 3.0), diameter, ink);
            assert!(touched.is_empty(), "{wild} {diameter}");
            polygon(&mut sheet, &bad, &[(wild, wild); 4], ink);
        }
    }
    fill(&mut sheet, &bad, Pixel { x: WIDTH, y: 0 }, Class::Peak);
    assert_eq!(sheet, before);
}
