"""What a cell is: its identity, its folder, its rows; and the layout of the folders of runs, their listing, export, removal."""
