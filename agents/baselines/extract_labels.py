"""What stands before a value: labels, in the languages that invoices and bookings come in."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

__all__ = ("LABELS", "Marks", "words")

LABELS: Mapping[str, tuple[str, ...]] = {
    "invoice number": (
        *("invoice number", "invoice no", "invoice nr", "invoice num", "invoice #", "invoice id"),
        *("inv no", "inv #", "bill number", "bill no", "receipt number", "receipt no", "invoice"),
        *("rechnungsnummer", "rechnungs-nr", "rechnungsnr", "rechnung nr", "rechnung", "beleg-nr"),
        *("belegnummer", "facture n°", "facture no", "facture numéro", "numéro de facture"),
        *("n° de facture", "n° facture", "facture", "factura nº", "factura n°", "factura no"),
        *("número de factura", "nº factura", "nº de factura", "factura", "factuurnummer"),
        *("factuur nr", "factuurnr", "fattura n°", "fattura n", "numero fattura", "fattura"),
        *("fatura nº", "número da fatura", "faktura nr", "numer faktury", "fakturanummer"),
        *("document number", "document no", "voucher no", "tax invoice no", "tax invoice"),
    ),
    "order number": (
        *("order number", "order no", "order id", "order #", "purchase order", "po number"),
        *("po no", "your order", "bestellnummer", "auftragsnummer", "bestell-nr", "ordernummer"),
        *("numéro de commande", "n° de commande", "número de pedido", "nº pedido", "order"),
        *("numero ordine", "auftrag", "commande n°", "reference order"),
    ),
    "customer number": (
        *("customer number", "customer no", "customer id", "customer #", "client number"),
        *("client no", "account number", "account no", "member number", "customer account"),
        *("kundennummer", "kunden-nr", "kundennr", "klantnummer", "numéro de client", "n° client"),
        *("numéro client", "número de cliente", "nº cliente", "codice cliente", "membership no"),
        *("numéro de dossier", "n° de client", "numer klienta"),
    ),
    "booking number": (
        *("booking number", "booking id", "booking no", "booking reference", "booking ref"),
        *("confirmation number", "confirmation no", "reservation number", "pnr", "booking code"),
        *("buchungsnummer", "numéro de réservation", "reserveringsnummer", "reservation id"),
    ),
    "tracking number": (
        *("tracking number", "tracking no", "tracking id", "tracking code", "tracking #"),
        *("tracking", "sendungsnummer", "consignment number", "numéro de suivi", "awb", "waybill"),
        *("número de seguimiento", "track and trace", "trackingnummer", "parcel number"),
    ),
    "issue date": (
        *("invoice date", "date of invoice", "issue date", "date of issue", "issued on", "issued"),
        *("bill date", "billing date", "document date", "rechnungsdatum", "belegdatum", "datum"),
        *("date de facture", "date de facturation", "date d'émission", "date facture", "dated"),
        *("fecha de factura", "fecha factura", "fecha de emisión", "fecha", "factuurdatum"),
        *("data fattura", "data emissione", "data de emissão", "data wystawienia", "data"),
        *("fakturadatum", "date", "tax point", "statement date", "receipt date"),
    ),
    "due date": (
        *(
            "due date",
            "payment due",
            "due by",
            "due on",
            "pay by",
            "payable by",
            "due",
            "pay until",
        ),
        *("fälligkeitsdatum", "fällig am", "fällig", "zahlbar bis", "zu zahlen bis", "échéance"),
        *("date d'échéance", "à payer avant le", "date limite de paiement", "fecha de vencimiento"),
        *("vencimiento", "vervaldatum", "te betalen voor", "scadenza", "data di scadenza"),
        *("termin płatności", "förfallodatum", "payment deadline", "bitte zahlen sie bis"),
    ),
    "order date": (
        *("order date", "ordered on", "bestelldatum", "orderdatum", "date de commande"),
        *("fecha de pedido", "data ordine", "auftragsdatum", "date ordered", "ordered"),
    ),
    "delivery date": (
        *("delivery date", "delivered on", "date of delivery", "lieferdatum", "leistungsdatum"),
        *("date de livraison", "fecha de entrega", "leverdatum", "data di consegna", "delivery"),
        *("expected delivery", "estimated delivery", "arrives", "zustellung", "arrival", "eta"),
        *("livraison prévue", "entrega prevista", "expected"),
    ),
    "shipping date": ("ship date", "shipped on", "shipped", "dispatched on", "versanddatum"),
    "payment date": (
        *("payment date", "paid on", "date paid", "bezahlt am", "payé le", "zahlungsdatum"),
        *("zahlungseingang", "pagado el", "betaald op"),
    ),
    "period": (
        *("billing period", "service period", "period", "leistungszeitraum", "abrechnungszeitraum"),
        *("période", "periodo", "periode", "zeitraum"),
    ),
    "birth date": ("date of birth", "born on", "geburtsdatum", "né le", "date de naissance", "dob"),
    "check in": ("check in", "check-in", "arrival date", "anreise", "arrivée", "from"),
    "check out": ("check out", "check-out", "departure date", "abreise", "départ", "until"),
    "gross": (
        *("grand total", "total amount due", "total due", "amount due", "balance due", "total ttc"),
        *("total to pay", "total amount", "total incl", "total including vat", "invoice total"),
        *("total payable", "amount payable", "total for this invoice", "to pay", "total"),
        *("gesamtbetrag", "rechnungsbetrag", "endbetrag", "zahlbetrag", "gesamtsumme", "gesamt"),
        *("zu zahlen", "brutto", "bruttobetrag", "summe brutto", "summe", "montant ttc"),
        *("net à payer", "total à payer", "montant total", "montant dû", "total a pagar"),
        *("importe total", "total factura", "totaal", "totaalbedrag", "te betalen", "totale"),
        *("totaal incl", "totaal inclusief btw", "totale fattura", "totale da pagare"),
        *("importo totale", "valor total", "razem", "do zapłaty", "att betala", "summa"),
        *("amount", "betrag", "montant", "importe", "bedrag", "importo"),
        *("gesamtbetrag brutto", "total con iva", "total iva incluido", "price", "preis"),
    ),
    "net": (
        *("amount untaxed", "untaxed amount", "untaxed"),
        *("subtotal", "sub-total", "sub total", "net total", "net amount", "total net", "net"),
        *("total excl", "total excluding vat", "amount before tax", "total before tax"),
        *("nettobetrag", "netto", "summe netto", "zwischensumme", "gesamtbetrag netto"),
        *("total ht", "montant ht", "sous-total", "base imponible", "subtotaal", "exclusief btw"),
        *("totaal excl", "totaal exclusief btw", "imponibile", "excl. btw", "total hors taxe"),
        *("taxable amount", "total sin iva", "importe neto", "warenwert"),
    ),
    "tax": (
        *("vat", "vat amount", "total vat", "tax", "sales tax", "gst", "total tax", "tax amount"),
        *("tva", "montant tva", "total tva", "mwst", "mehrwertsteuer", "ust", "umsatzsteuer"),
        *("iva", "cuota iva", "btw", "btw-bedrag", "igic", "moms", "hst", "cgst", "sgst", "igst"),
        *("zzgl. mwst", "zzgl. ust", "inkl. mwst", "importo iva", "taxes"),
    ),
    "other money": (
        *("discount", "rabatt", "remise", "korting", "descuento", "sconto", "shipping", "versand"),
        *("credits", "credit", "balance", "deposit", "anzahlung", "acompte", "late fee", "fee"),
        *("paid", "amount paid", "already paid", "change", "tip", "previous balance", "capital"),
        *("frais de port", "versandkosten", "verzendkosten", "unit price", "einzelpreis"),
        *("indemnité forfaitaire de recouvrement", "mahngebühr", "skonto", "charges"),
        *("forfaitaire", "au capital de", "stammkapital", "last invoice", "penalty"),
    ),
    "seller": (
        *("issuer", "issued by", "seller", "supplier", "vendor", "sold by", "from", "company"),
        *("company name", "verkäufer", "lieferant", "rechnungssteller", "fournisseur", "vendeur"),
        *("émetteur", "emisor", "proveedor", "vendedor", "leverancier", "verkoper", "fornitore"),
        *("cedente", "sprzedawca", "account holder", "titulaire du compte", "kontoinhaber"),
        *("services provided by", "beneficiary", "payee", "bill from", "biller", "empresa"),
        *("received by", "sender", "service provider", "provided by", "employer", "organisation"),
    ),
    "buyer": (
        *("bill to", "billed to", "sold to", "customer", "client", "buyer", "ship to", "kunde"),
        *("rechnungsadresse", "käufer", "acheteur", "cliente", "klant", "comprador", "attn"),
        *("invoice to", "bill to address", "facturé à", "destinataire", "rechnung an", "nabywca"),
        *("deliver to", "recipient", "empfänger", "guest name", "passenger"),
    ),
    "vat id": (
        *("vat id", "vat number", "vat no", "vat reg no", "vat registration number", "tax id"),
        *("vat reg", "ust-idnr", "ust-id", "ust-id-nr", "ustid", "uid", "btw-nummer", "btw nr"),
        *("btw", "tva", "n° tva", "tva intracommunautaire", "numéro de tva", "partita iva"),
        *("p.iva", "nif", "cif", "gstin", "abn", "nip", "vat", "mva", "tax number", "steuernummer"),
    ),
    "iban": ("iban", "bank account", "account iban", "konto", "bankverbindung"),
    "bic": ("bic", "swift", "bic/swift", "swift code"),
    "phone": (
        *("phone", "telephone", "tel", "mobile", "cell", "call", "phone number", "telefon"),
        *("handy", "mobil", "téléphone", "tél", "teléfono", "telefoon", "telefono", "hotline"),
        *("contact number", "mobile number", "celular", "móvil", "mob", "portable"),
    ),
    "fax": ("fax", "telefax"),
    "email": ("email", "e-mail", "mail", "e-mail address", "email address", "correo", "courriel"),
    "website": ("website", "web", "homepage", "url", "site web", "internet", "link", "apply at"),
    "street": (
        *("street", "street address", "address", "straße", "strasse", "rue", "calle", "straat"),
        *("anschrift", "adresse", "dirección", "adres", "indirizzo", "via"),
    ),
    "postal code": (
        *("postal code", "postcode", "zip", "zip code", "plz", "postleitzahl", "code postal"),
        *("código postal", "cap"),
    ),
    "city": ("city", "town", "ort", "stadt", "ville", "ciudad", "plaats", "città", "wohnort"),
    "country": ("country", "land", "pays", "país", "paese"),
    "person": (
        *("name", "full name", "contact", "contact person", "contact name", "ansprechpartner"),
        *("nom", "nombre", "naam", "nome", "attention", "kontakt", "customer name", "guest"),
        *("vollständiger name", "nom complet", "nombre completo", "new name", "neuer name"),
    ),
    "first name": ("first name", "given name", "forename", "vorname", "prénom", "voornaam"),
    "last name": (
        *("last name", "surname", "family name", "nachname", "nom de famille", "achternaam"),
        *("apellido", "apellidos", "cognome"),
    ),
    "people": (
        *("people", "persons", "person", "guests", "party size", "party of", "pax", "personen"),
        *("number of people", "number of guests", "adults", "diners", "gäste", "personnes"),
        *("personas", "persone", "seats", "covers", "attendees", "participants", "couverts"),
    ),
    "time": ("time", "uhrzeit", "heure", "hora", "tijd", "ora", "start", "starts", "starts at"),
    "effective": (
        *("valid from", "effective", "effective from", "as of", "from", "starting", "gültig ab"),
        *("ab dem", "ab", "à partir du", "a partir del", "vanaf", "with effect from", "per"),
    ),
    "quantity": ("quantity", "qty", "menge", "anzahl", "quantité", "qté", "cantidad", "aantal"),
}
"""Meaning to the labels that announce it. Each is matched as whole words, the longest first."""

Own = tuple[tuple[str, str], ...]

_GAP = 60  # characters between a label and its value on one line


def words(name: str) -> str:
    """Return a field's name as words: `dueDate` and `due_date` become "due date"."""
    return re.sub(r"[_\W]+|(?<=[a-z])(?=[A-Z])", " ", name).strip().lower()


_LOOSE = re.compile(r"[ \t.\-]+")


@lru_cache(maxsize=64)
def _table(own: Own) -> tuple[re.Pattern[str], dict[str, frozenset[str]]]:
    """Return the pattern of all labels, and what each means (written with single spaces)."""
    table: dict[str, set[str]] = {}
    for meaning, phrases in LABELS.items():
        for phrase in phrases:
            table.setdefault(_LOOSE.sub(" ", phrase), set()).add(meaning)
    for phrase, meaning in own:
        table.setdefault(_LOOSE.sub(" ", phrase), set()).add(meaning)
    longest_first = sorted(filter(None, table), key=len, reverse=True)
    like = "|".join(re.escape(p).replace(r"\ ", r"[ \t.\-]{1,3}") for p in longest_first)
    pattern = re.compile(rf"(?<!\w)(?:{like})(?!\w)", re.IGNORECASE)
    return pattern, {phrase: frozenset(found) for phrase, found in table.items()}


@dataclass(frozen=True)
class Marks:
    """Where labels stand in a text.

    Args:
        text: The text.
        own: More labels, each with what it means.
    """

    text: str
    own: Own = ()

    @cached_property
    def found(self) -> list[tuple[int, int, frozenset[str]]]:
        """Return start, end and meanings of every label in the text, in order."""
        pattern, table = _table(self.own)
        return [
            (m.start(), m.end(), table.get(_LOOSE.sub(" ", m.group().lower()), frozenset()))
            for m in pattern.finditer(self.text)
        ]

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _, _ in self.found]

    def first(self, start: int) -> tuple[int, int, frozenset[str]] | None:
        """Return the first label at or after `start`."""
        i = bisect_left(self._starts, start)
        return self.found[i] if i < len(self.found) else None

    def before(self, start: int) -> tuple[frozenset[str], float]:
        """Return the meanings of the label of a value at `start`, and how surely it is its label.

        The label stands before it on its line, or alone above it.
        """
        line = self.text.rfind("\n", 0, start) + 1
        here = self._last(line, start)
        if here is not None:
            gap = start - here[1]
            if gap <= _GAP:
                return here[2], 1.0 - gap / (3 * _GAP)
        if not self.text[line:start].strip(" \t:|€$£"):
            return self._above(line, start)
        return frozenset(), 0.0

    def _last(self, low: int, high: int) -> tuple[int, int, frozenset[str]] | None:
        """Return the last label that starts at or after `low` and ends by `high`."""
        i = bisect_right(self._starts, high - 1) - 1
        while i >= 0 and self.found[i][0] >= low:
            if self.found[i][1] <= high:
                return self.found[i]
            i -= 1
        return None

    def _above(self, line: int, start: int) -> tuple[frozenset[str], float]:
        window = max(0, line - 200)
        above = self.text[window:line].rstrip()
        end = window + len(above)
        low = window + above.rfind("\n") + 1
        mark = self._last(low, end)
        if mark is None or self.text[mark[1] : end].strip(" \t:.#°") or mark[0] - low > 2:
            return frozenset(), 0.0
        return mark[2], 0.8
