// Who signs in comes to the view that the link named: the form carries it, and browsers keep it over the redirect.

document.querySelector("form").action = `/login${location.hash}`;
