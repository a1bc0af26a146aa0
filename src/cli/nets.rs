//! Loads the net that is meant.

use super::Failure;
use super::arguments::NetArguments;
use crate::net::{Net, catalog};

/// The net of `--net`, else the shipped one.
pub fn load(arguments: &NetArguments) -> Result<Net, Failure> {
    let folder = match &arguments.net {
        Some(folder) => folder.clone(),
        None => catalog::shipped().ok_or_else(|| {
            Failure::could_not(format!(
                "the shipped net models/{} was not found; name a net with --net DIR or set PEAKNET_MODELS",
                catalog::SHIPPED
            ))
        })?,
    };
    let mut net = Net::load(&folder, arguments.device.device)?;
    net.grant(&arguments.wishes());
    Ok(net)
}
