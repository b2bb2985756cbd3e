# Claude told to export straight to the central service. Every user of the machine can read Claude's
# policy, and the token in it: through an edge no file that Claude reads holds one. Pillar: fieldpost:token.
/etc/claude-code/managed-settings.d/10-fieldpost.json:
  file.managed:
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: true
    - show_changes: false
    - contents: |
@SETTINGS@
