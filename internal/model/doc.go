// Package model keeps the versions of every machine's forecasting model. What
// comes in are folders: published by whoever trains, imported from the old
// system, or simply copied into place. What goes out are the versions that can
// be used, and for each machine the one that serves it, its champion. The
// folder of models is the only truth: nothing about a version is remembered
// anywhere else, so that copying a folder in or deleting it is all that it
// takes. The package never computes a forecast, never executes anything that
// it finds in a file, and never shows a version that does not load.
//
//	models/
//	  model_<machine>_<YYYYMMDD_HHMMSS>/      one version; the stamp is UTC for those made here
//	    config.json, model.safetensors        PatchTST, as transformers saves it
//	    ridge.json                            or ridge regression, as internal/forecast saves it
//	    scaler.json or scaler.pkl             PatchTST's scaler
//	    fettle.json                           the card: what the files above do not say
//	  decisions_<machine>.json                which version serves which forecaster, what was refused, and why
//	  scaler_<machine>_<YYYYMMDD_HHMMSS>.pkl  the scaler of an old deployment, beside its folder
//	  .fettle-*                               being written; nobody looks at it
//
// A challenger may have to wait in the shadow of the champion until it has shown
// that it is better there, too: one at most for each forecaster.
//
// A version is written under a dot name, synced and renamed, so it is there
// whole or not at all. One that is copied in file by file is not usable until
// it loads; until then Problems says what it lacks.
package model
