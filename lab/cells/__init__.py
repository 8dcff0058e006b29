"""What a cell is, its folder and its rows; the layout of folders of runs, their listing, export and removal."""
