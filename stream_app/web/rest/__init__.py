"""The JSON interface `/api/v1`: one declaration a route, from which it is read and described."""
