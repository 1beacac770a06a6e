module modelberth/pause

go 1.26
