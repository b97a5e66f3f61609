"""The documentation's site: Sphinx reads the Markdown of this folder. See scripts/docs."""

project = "podenv"
author = "the authors of podenv"
html_title = "podenv"
extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 4  # links such as releases.md#go-back, as GitHub makes them
exclude_patterns = ["README.md"]
html_theme = "furo"
html_show_sourcelink = False
html_show_copyright = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_theme_options = {"top_of_page_buttons": []}
# Of a console block only the commands are copied.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
