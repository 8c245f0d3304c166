//! The keys of the tab of the code.

use crossterm::event::KeyCode;

use super::{code::CodeView, icicle::Icicle};

/// Handles a key. Returns false if the key has no meaning here.
pub(super) fn press(view: &mut CodeView, code: KeyCode, icicle: Option<&Icicle>) -> bool {
    match code {
        KeyCode::Char('v') => view.is_icicle = !view.is_icicle,
        KeyCode::Char('a') => view.is_allocated = !view.is_allocated,
        KeyCode::Char('e') => {
            view.has_all_frames = !view.has_all_frames;
            // Paths change with the frames that are shown, so they are reset.
            (view.focus, view.at) = (Vec::new(), Vec::new());
        }
        _ => return view.is_icicle && icicle.is_some_and(|it| in_icicle(view, code, it)),
    }
    true
}

fn in_icicle(view: &mut CodeView, code: KeyCode, icicle: &Icicle) -> bool {
    let focus = icicle.find(&view.focus);
    let now = icicle.find(&view.at).or(focus).unwrap_or(0);
    let to = match code {
        KeyCode::Char('j') | KeyCode::Down => icicle.nodes[now].children.first().copied(),
        KeyCode::Char('k') | KeyCode::Up => Some(icicle.nodes[now].parent),
        KeyCode::Char('l') | KeyCode::Right => icicle.sibling(now, true),
        KeyCode::Char('h') | KeyCode::Left => icicle.sibling(now, false),
        KeyCode::Char('g') | KeyCode::Home => focus,
        KeyCode::Char('G') | KeyCode::End => Some(icicle.deepest(now)),
        KeyCode::Enter => {
            let path = icicle.path(now);
            view.at.clone_from(&path);
            view.focus = if path == view.focus { Vec::new() } else { path };
            return true;
        }
        KeyCode::Char('x') if now != 0 => {
            view.hidden.push(icicle.nodes[now].name.clone());
            view.at.pop();
            view.focus.truncate(view.at.len());
            return true;
        }
        _ => return false,
    };
    view.at = icicle.path(to.unwrap_or(now));
    true
}
