"""The live data of the page: frames of what has changed, sent to every open page over `/live`."""
