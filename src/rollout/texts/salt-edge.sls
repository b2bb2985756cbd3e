# The fieldpost edge, and Claude told to export to it. Pillar: fieldpost:endpoint, fieldpost:token.
fieldpost-edge:
  pkg.installed: []

/etc/fieldpost/edge.toml:
  file.managed:
    - user: root
    - group: root
    - mode: '0644'
    - contents: |
        [upstream]
        endpoint = "{{ pillar['fieldpost']['endpoint'] }}"
        token_file = "/etc/fieldpost/token"
    - require:
      - pkg: fieldpost-edge

# From version 247 on systemd reads the token as root, and hands the daemon a copy; before, the daemon reads the file.
/etc/fieldpost/token:
  file.managed:
    - user: root
    - group: "{{ 'root' if grains.get('systemd', {}).get('version', '247') | int >= 247 else 'fieldpost' }}"
    - mode: "{{ '0600' if grains.get('systemd', {}).get('version', '247') | int >= 247 else '0640' }}"
    - contents_pillar: fieldpost:token
    - show_changes: false
    - require:
      - pkg: fieldpost-edge

/etc/claude-code/managed-settings.d/10-fieldpost.json:
  file.managed:
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: true
    - contents: |
@SETTINGS@

fieldpost-edge.socket:
  service.running:
    - enable: true
    - require:
      - file: /etc/fieldpost/edge.toml

fieldpost-edge-token.path:
  service.running:
    - enable: true
    - require:
      - service: fieldpost-edge.socket

fieldpost-edge.service:
  service.running:
    - enable: true
    - require:
      - service: fieldpost-edge.socket
